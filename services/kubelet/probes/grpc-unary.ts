/**
 * One gRPC call on a connection of its own, its HTTP/2 written and read by hand (RFC 9113): a node makes a hundred of
 * them a second, and a client's channel, session and streams cost many times what the call does.
 */
import { connect } from 'node:net';
import { frame, frameReader, statusError, timeoutHeader } from '#foundation/grpc/lean-wire.ts';
import { headerReader, literal } from './hpack.ts';

/** What to call. */
export interface UnaryCall {
  host: string;
  port: number;
  /** `/package.Service/Method`. */
  path: string;
  authority: string;
  userAgent: string;
  message: Uint8Array;
}

/** What limits a call. */
export interface CallLimits {
  signal: AbortSignal;
  timeoutMs: number;
}

/** The time is over: before there was a connection, or with one. */
export class LateError extends Error {
  override readonly name = 'LateError';
  readonly during: 'connecting' | 'calling';

  constructor(during: LateError['during']) {
    super(`the time was over while ${during}`);
    this.during = during;
  }
}

const types = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, continuation: 9 };
const flags = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 };

/** Bytes of a frame that a peer may send who was told nothing else. */
const maxFrame = 16_384;
/** Bytes of an answer: a health check has less than twenty, a status may have some words. */
const maxAnswer = 64 * 1024;

/** What is read goes through here: nothing of it is kept without a copy. */
const scratch = Buffer.allocUnsafeSlow(16 * 1024);

/**
 * Makes the call.
 *
 * @returns the message of the answer.
 * @throws SkiffError with the status of the answer, LateError, what Node does for a connection that fails, the signal's
 *   reason, or Error for an answer that is none.
 */
export function callUnary(call: UnaryCall, { signal, timeoutMs }: CallLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const end = (settle: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', cancel);
      socket.destroy();
      settle();
    };
    const fail = (error: unknown) => end(() => reject(error));
    const cancel = () => fail(signal.reason);
    const reader = answerReader((bytes) => socket.write(bytes));
    const take = (size: number) => {
      try {
        const answer = reader.take(Buffer.from(scratch.subarray(0, size)));
        if (answer !== undefined) end(() => resolve(answer));
      } catch (error) {
        fail(error);
      }
      return true;
    };
    const { host, port } = call;
    const socket = connect({ host, port, noDelay: true, onread: { buffer: scratch, callback: take } });
    const timer = setTimeout(
      () => fail(new LateError(socket.connecting ? 'connecting' : 'calling')),
      timeoutMs,
    );
    signal.addEventListener('abort', cancel, { once: true });
    socket.on('error', fail);
    socket.on('end', () => fail(new Error('the connection ended without an answer')));
    socket.resume().write(requestOf(call, timeoutMs));
  });
}

/** The preface, settings, and the whole call in one piece. */
function requestOf({ path, authority, userAgent, message }: UnaryCall, timeoutMs: number): Buffer {
  const headers = [
    literal(':method', 'POST'),
    literal(':scheme', 'http'),
    literal(':path', path),
    literal(':authority', authority),
    literal('content-type', 'application/grpc'),
    literal('user-agent', userAgent),
    literal('te', 'trailers'),
    literal('grpc-timeout', timeoutHeader(timeoutMs)),
  ];
  // No table of headers to keep, no pushes.
  const settings = Buffer.from([0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    frameOf(types.settings, 0, 0, settings),
    frameOf(types.headers, flags.endHeaders, 1, Buffer.concat(headers)),
    frameOf(types.data, flags.endStream, 1, frame(message)),
  ]);
}

function frameOf(type: number, flag: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flag;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A frame as it came. */
interface Frame {
  type: number;
  flag: number;
  payload: Buffer;
}

/** Reads the answer however it is cut. @param send what the peer wants to hear meanwhile. */
function answerReader(send: (bytes: Buffer) => void) {
  let pending: Buffer = Buffer.alloc(0);
  let size = 0;
  let block: Buffer = Buffer.alloc(0);
  let ending = false;
  let headers: Record<string, string> = {};
  const messages = frameReader();
  const readHeaders = headerReader();
  let message: Buffer | undefined;

  const takeBlock = (part: Buffer, flag: number): boolean => {
    block = Buffer.concat([block, part]);
    if ((flag & flags.endHeaders) === 0) return false;
    headers = { ...headers, ...readHeaders(block) };
    block = Buffer.alloc(0);
    requireGrpc(headers);
    return ending;
  };
  /** @returns whether the answer is whole. */
  const takeFrame = ({ type, flag, payload }: Frame): boolean => {
    if (type === types.settings && (flag & flags.ack) === 0)
      send(frameOf(types.settings, flags.ack, 0, Buffer.alloc(0)));
    else if (type === types.ping && (flag & flags.ack) === 0)
      send(frameOf(types.ping, flags.ack, 0, payload));
    else if (type === types.reset) throw new Error(`the call was reset with code ${payload.readUInt32BE()}`);
    else if (type === types.goAway && payload.readUInt32BE() === 0)
      throw new Error(`the server goes away with code ${payload.readUInt32BE(4)}`);
    else if (type === types.data) {
      message = messages.push(unpadded(payload, flag)).at(-1) ?? message;
      return (flag & flags.endStream) !== 0;
    } else if (type === types.headers) {
      ending = (flag & flags.endStream) !== 0;
      const part = unpadded(payload, flag);
      return takeBlock((flag & flags.priority) === 0 ? part : part.subarray(5), flag);
    } else if (type === types.continuation) return takeBlock(payload, flag);
    return false;
  };
  return {
    /** @returns the message once the answer is whole. @throws what it says instead. */
    take(chunk: Buffer): Buffer | undefined {
      size += chunk.length;
      if (size > maxAnswer) throw new Error(`an answer of more than ${maxAnswer} bytes`);
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      while (pending.length >= 9) {
        const length = pending.readUIntBE(0, 3);
        if (length > maxFrame) throw new Error('the server does not speak HTTP/2');
        if (pending.length < 9 + length) return undefined;
        const [type = 0, flag = 0] = [pending[3], pending[4]];
        const payload = pending.subarray(9, 9 + length);
        pending = pending.subarray(9 + length);
        if (takeFrame({ type, flag, payload })) return verdict(headers, message);
      }
      return undefined;
    },
  };
}

function unpadded(payload: Buffer, flag: number): Buffer {
  return (flag & flags.padded) === 0 ? payload : payload.subarray(1, payload.length - (payload[0] ?? 0));
}

/** @throws Error for the page of a web server: its body is no message. */
function requireGrpc({ ':status': status = '200', 'grpc-status': verdict }: Record<string, string>): void {
  if (status === '200' || status.startsWith('1') || verdict !== undefined) return;
  throw new Error(`unexpected HTTP status code received from server: ${status}`);
}

/** @throws SkiffError with the status. */
function verdict(headers: Record<string, string>, message: Buffer | undefined): Buffer {
  if (headers['grpc-status'] === undefined) throw new Error('the server sent no status of the call');
  const failure = statusError(headers);
  if (failure !== undefined) throw failure;
  if (message === undefined) throw new Error('an answer without a message');
  return message;
}
