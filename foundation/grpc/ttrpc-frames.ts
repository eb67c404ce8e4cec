/**
 * The frames of ttrpc (https://github.com/containerd/ttrpc, PROTOCOL.md) and the two messages they carry. A frame
 * is 4 bytes of length, 4 of stream id, a type, flags, then the message; numbers are big-endian.
 */
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { SkiffError } from '#foundation/base/errors.ts';

/** The most bytes that a message may have. */
export const maxMessageBytes = 4 * 1024 * 1024;

export const frameHeaderBytes = 10;

/** Types of frames; streaming calls, which have data frames (3), are not part of this. */
export const frameType = { request: 1, response: 2 } as const;

/** A frame. */
export interface Frame {
  stream: number;
  type: number;
  message: Uint8Array;
}

/** A connection that carries bytes both ways, in order. */
export interface ByteChannel {
  send(bytes: Uint8Array): void;
  /** Calls back for what comes; one reader. */
  onData(each: (bytes: Buffer) => void): void;
  /** Calls back once when nothing more comes or goes. */
  onClose(call: (why: SkiffError) => void): void;
  close(why: SkiffError): void;
}

/** @throws SkiffError RESOURCE_EXHAUSTED if the message is larger than the protocol allows. */
export function encodeFrame({ stream, type, message }: Frame): Buffer {
  if (message.length > maxMessageBytes)
    throw new SkiffError(
      'RESOURCE_EXHAUSTED',
      `a message of ${message.length} bytes is over ttrpc's ${maxMessageBytes}`,
    );
  const frame = Buffer.alloc(frameHeaderBytes + message.length);
  frame.writeUInt32BE(message.length, 0);
  frame.writeUInt32BE(stream, 4);
  frame[8] = type;
  frame.set(message, frameHeaderBytes);
  return frame;
}

/**
 * Cuts a stream into records that have a header of fixed size.
 *
 * @param bodyBytes reads the body's length from a header. @throws whatever it throws for a length that cannot be.
 * @returns takes the next bytes, and calls `each` for every record that is complete.
 */
export function recordReader(
  headerBytes: number,
  bodyBytes: (header: Buffer) => number,
  each: (header: Buffer, body: Buffer) => void,
): (bytes: Buffer) => void {
  let pending: Buffer[] = [];
  let size = 0;
  let needed = headerBytes;
  return (bytes) => {
    pending.push(bytes);
    size += bytes.length;
    if (size < needed) return;
    let rest = Buffer.concat(pending, size);
    needed = headerBytes;
    while (rest.length >= headerBytes) {
      needed = headerBytes + bodyBytes(rest);
      if (rest.length < needed) break;
      each(rest.subarray(0, headerBytes), rest.subarray(headerBytes, needed));
      rest = rest.subarray(needed);
      needed = headerBytes;
    }
    pending = [rest];
    size = rest.length;
  };
}

/** Reads frames from a channel. @returns what takes its bytes; it throws SkiffError INVALID_ARGUMENT for garbage. */
export function frameReader(each: (frame: Frame) => void): (bytes: Buffer) => void {
  const length = (header: Buffer): number => {
    const bytes = header.readUInt32BE(0);
    if (bytes <= maxMessageBytes) return bytes;
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `a ttrpc frame of ${bytes} bytes; at most ${maxMessageBytes} may come`,
    );
  };
  return recordReader(frameHeaderBytes, length, (header, message) =>
    each({ stream: header.readUInt32BE(4), type: header.readUInt8(8), message }),
  );
}

/** A request, as far as it is used. */
export interface RequestMessage {
  /** The service's full name. */
  service: string;
  method: string;
  payload: Uint8Array;
  /** Nanoseconds the caller waits; 0 for no limit. */
  timeout: bigint;
}

export function encodeRequest({ service, method, payload, timeout }: RequestMessage): Uint8Array {
  const writer = new BinaryWriter().tag(1, 2).string(service).tag(2, 2).string(method);
  writer.tag(3, 2).bytes(payload);
  if (timeout > 0n) writer.tag(4, 0).int64(timeout);
  return writer.finish();
}

export function decodeRequest(bytes: Uint8Array): RequestMessage {
  const request: RequestMessage = { service: '', method: '', payload: new Uint8Array(), timeout: 0n };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) request.service = reader.string();
    else if (field === 2) request.method = reader.string();
    else if (field === 3) request.payload = reader.bytes();
    else if (field === 4) request.timeout = BigInt(reader.int64());
    else reader.skip(type, field);
  }
  return request;
}

/** A response; code 0 is success, others are gRPC's. */
export interface ResponseMessage {
  code: number;
  text: string;
  payload: Uint8Array;
}

export function encodeResponse({ code, text, payload }: ResponseMessage): Uint8Array {
  const writer = new BinaryWriter();
  if (code !== 0) writer.tag(1, 2).fork().tag(1, 0).int32(code).tag(2, 2).string(text).join();
  return writer.tag(2, 2).bytes(payload).finish();
}

export function decodeResponse(bytes: Uint8Array): ResponseMessage {
  const response: ResponseMessage = { code: 0, text: '', payload: new Uint8Array() };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) Object.assign(response, decodeStatus(reader.bytes()));
    else if (field === 2) response.payload = reader.bytes();
    else reader.skip(type, field);
  }
  return response;
}

function decodeStatus(bytes: Uint8Array): { code: number; text: string } {
  const status = { code: 0, text: '' };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) status.code = reader.int32();
    else if (field === 2) status.text = reader.string();
    else reader.skip(type, field);
  }
  return status;
}
