/**
 * The frames of contracts/vm/agent.proto, seen from the host. The guest is not trusted: nothing is kept of a frame before
 * its header was found sound, and a frame is never larger than its kind may be.
 */
import { SkiffError } from '#foundation/base/errors.ts';

export const frameType = { call: 1, reply: 2, event: 3, data: 4, end: 5, credit: 6, reset: 7 } as const;

/** The most bytes of a call, a reply. */
export const maxPayloadBytes = 256 * 1024;
/** The most bytes of a data frame. */
export const maxDataBytes = 32 * 1024;
/** The most bytes of an event. */
const maxEventBytes = 64 * 1024;
/** What the guest keeps of each stream, and so the most that is under way. */
export const streamWindowBytes = 256 * 1024;

const mark = 0xa5;
const finish = 0x5a;
const headerBytes = 12;
/** What the guest sends before everything else. */
const greeting = Buffer.from('SKIFFVM1');
export const nonceBytes = 16;
/** What may come from before the greeting: leftovers for an earlier host. */
const maxLeftoverBytes = 16 * 1024 * 1024;

/** Enough zero bytes to end whatever an earlier host left unfinished. */
export const paddingBytes: number = maxPayloadBytes + headerBytes + 1;

/** A frame. */
export interface Frame {
  type: number;
  id: number;
  /** Valid until the next frame is read: copy what is kept. */
  payload: Buffer;
}

/** How large each kind may be that comes from the guest; what is missing may not come. */
const limits: Readonly<Record<number, { least: number; most: number }>> = {
  [frameType.reply]: { least: 0, most: maxPayloadBytes },
  [frameType.event]: { least: 1, most: maxEventBytes },
  [frameType.data]: { least: 1, most: maxDataBytes },
  [frameType.end]: { least: 0, most: 0 },
  [frameType.credit]: { least: 16, most: 16 },
  [frameType.reset]: { least: 0, most: 0 },
};

/** Makes the bytes of a frame. @throws SkiffError INVALID_ARGUMENT for a payload that is too large for the guest. */
export function encodeFrame(type: number, id: number, payload: Uint8Array = new Uint8Array()): Buffer {
  if (payload.length > maxPayloadBytes)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `${payload.length} bytes are too much for one call to the guest, which takes ${maxPayloadBytes}`,
    );
  const frame = Buffer.allocUnsafe(headerBytes + payload.length + 1);
  frame[0] = mark;
  frame[1] = type;
  frame.writeUInt16BE(0, 2);
  frame.writeUInt32BE(id, 4);
  frame.writeUInt32BE(payload.length, 8);
  frame.set(payload, headerBytes);
  frame[frame.length - 1] = finish;
  return frame;
}

/** The payload of a credit. */
export function encodeCredit(consumed: number, limit: number): Buffer {
  const payload = Buffer.allocUnsafe(16);
  payload.writeBigUInt64BE(BigInt(consumed), 0);
  payload.writeBigUInt64BE(BigInt(limit), 8);
  return payload;
}

/** @throws SkiffError DATA_LOSS for numbers that no stream reaches. */
export function decodeCredit(payload: Buffer): { consumed: number; limit: number } {
  const [consumed, limit] = [payload.readBigUInt64BE(0), payload.readBigUInt64BE(8)];
  if (limit > BigInt(Number.MAX_SAFE_INTEGER) || consumed > limit) throw garbage('a credit that cannot be');
  return { consumed: Number(consumed), limit: Number(limit) };
}

/** What breaks the protocol. */
export function garbage(what: string): SkiffError {
  return new SkiffError('DATA_LOSS', `The guest's agent sent ${what}; the connection to it was ended`);
}

/** Cuts what comes into frames, after skipping what comes before the greeting with `nonce`. */
export interface FrameReader {
  /** @throws SkiffError DATA_LOSS for garbage; the reader is of no use afterwards. */
  push(bytes: Buffer): void;
}

/** Makes a reader. @param each gets every frame, in order. @param greeted called once at the greeting. */
export function frameReader(
  nonce: Uint8Array,
  greeted: () => void,
  each: (frame: Frame) => void,
): FrameReader {
  const wanted = Buffer.concat([greeting, nonce]);
  let inStep = false;
  let leftovers = 0;
  let pending: Buffer[] = [];
  let size = 0;
  let needed = wanted.length;
  const findGreeting = (bytes: Buffer): Buffer | undefined => {
    const at = bytes.indexOf(wanted);
    if (at >= 0) {
      inStep = true;
      greeted();
      return bytes.subarray(at + wanted.length);
    }
    const kept = Math.min(bytes.length, wanted.length - 1);
    leftovers += bytes.length - kept;
    if (leftovers > maxLeftoverBytes) throw garbage(`${leftovers} bytes without a greeting`);
    pending = [bytes.subarray(bytes.length - kept)];
    size = kept;
    return undefined;
  };
  return {
    push(bytes) {
      pending.push(bytes);
      size += bytes.length;
      if (size < needed) return;
      let rest: Buffer | undefined = pending.length === 1 ? bytes : Buffer.concat(pending, size);
      pending = [];
      if (!inStep) rest = findGreeting(rest);
      if (rest === undefined) return;
      needed = headerBytes;
      while (rest.length >= headerBytes) {
        needed = frameBytes(rest);
        if (rest.length < needed) break;
        if (rest[needed - 1] !== finish) throw garbage('a frame without its end');
        each({
          type: rest.readUInt8(1),
          id: rest.readUInt32BE(4),
          payload: rest.subarray(headerBytes, needed - 1),
        });
        rest = rest.subarray(needed);
        needed = headerBytes;
      }
      pending = [rest];
      size = rest.length;
    },
  };
}

/** The length of the frame that begins here, by its header. */
function frameBytes(header: Buffer): number {
  if (header[0] !== mark || header[2] !== 0 || header[3] !== 0) throw garbage('bytes that begin no frame');
  const type = header.readUInt8(1);
  const limit = limits[type];
  if (limit === undefined) throw garbage(`a frame of type ${type}`);
  const length = header.readUInt32BE(8);
  if (length < limit.least || length > limit.most)
    throw garbage(`a frame of type ${type} with ${length} bytes; ${limit.most} is the most`);
  return headerBytes + length + 1;
}
