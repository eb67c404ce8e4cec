/** Cuts a byte stream into SPDY/3.1 frames. DATA payloads are passed on as they come, never collected. */
import { SkiffError } from '#foundation/base/errors.ts';
import { type ControlFrame, type DataPiece, flagFin } from './frames.ts';

/** Bytes of the longest control frame that is accepted; streams of Kubernetes need some hundred. */
const maxControlBytes = 64 * 1024;

type State =
  | { kind: 'head' }
  | { kind: 'control'; type: number; flags: number; length: number }
  | { kind: 'data'; streamId: number; fin: boolean; left: number };

/**
 * Makes a parser: a function from the next bytes to the frames that they complete.
 *
 * @throws SkiffError INVALID_ARGUMENT, from the function, for bytes that are not SPDY/3; it must not be
 *   called again after that.
 */
export function frameParser(): (chunk: Buffer) => Iterable<ControlFrame | DataPiece> {
  let state: State = { kind: 'head' };
  let rest: Buffer = Buffer.alloc(0);
  return function* parse(chunk) {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      if (state.kind === 'data') {
        const piece: Buffer = bytes.subarray(0, state.left);
        bytes = bytes.subarray(piece.length);
        const left: number = state.left - piece.length;
        const { streamId, fin }: { streamId: number; fin: boolean } = state;
        state = left === 0 ? { kind: 'head' } : { kind: 'data', streamId, fin, left };
        const last = left === 0;
        if (piece.length > 0 || last) yield { kind: 'data', streamId, fin: fin && last, bytes: piece };
        if (!last) break;
      } else if (state.kind === 'control') {
        if (bytes.length < state.length) break;
        const { type, flags, length }: { type: number; flags: number; length: number } = state;
        const body = bytes.subarray(0, length);
        bytes = bytes.subarray(length);
        state = { kind: 'head' };
        yield { kind: 'control', type, flags, body };
      } else {
        if (bytes.length < 8) break;
        state = readHead(bytes);
        bytes = bytes.subarray(8);
      }
    }
    rest = bytes;
  };
}

function readHead(bytes: Buffer): State {
  const first = bytes.readUInt32BE(0);
  const second = bytes.readUInt32BE(4);
  const flags = second >>> 24;
  const length = second & 0xffffff;
  if (first >>> 31 === 0) {
    return { kind: 'data', streamId: first, fin: (flags & flagFin) !== 0, left: length };
  }
  const version = (first >>> 16) & 0x7fff;
  if (version !== 3) throw bad(`a control frame has version ${version}, not 3`);
  if (length > maxControlBytes) {
    throw bad(`a control frame has ${length} bytes, ${maxControlBytes} at the most`);
  }
  return { kind: 'control', type: first & 0xffff, flags, length };
}

function bad(why: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `Cannot read SPDY/3.1 frames: ${why}`);
}
