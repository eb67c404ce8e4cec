/**
 * ttrpc, the RPC protocol of containerd's helpers, over any channel of bytes: unary calls of services that
 * protobuf-es describes. One side of a channel is the client, the other the server.
 */
import { create, type DescMethod, type DescService, fromBinary, toBinary } from '@bufbuild/protobuf';
import { codeFromGrpc, codeRow, SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { InitOf, InputOf, OutputInitOf, OutputOf } from './service.ts';
import {
  type ByteChannel,
  decodeRequest,
  decodeResponse,
  encodeFrame,
  encodeRequest,
  encodeResponse,
  frameReader,
  frameType,
  type RequestMessage,
  type ResponseMessage,
} from './ttrpc-frames.ts';

/** Calls the methods of a service. */
export interface TtrpcClient {
  /**
   * @param timeoutMs milliseconds until the call is given up.
   * @throws SkiffError with the server's code; DEADLINE_EXCEEDED; UNAVAILABLE if the connection is gone;
   *   RESOURCE_EXHAUSTED, and nothing was sent, if the request is too large.
   */
  call<M extends DescMethod>(method: M, request: InitOf<M>, timeoutMs: number): Promise<OutputOf<M>>;
}

/** The cause of errors that the other side answered, to tell them from those of the connection. */
const remoteFailure = new Error('the other side answered so');

/** Whether a call's error is the other side's answer; otherwise the connection or this side failed. */
export function isRemoteFailure(error: unknown): boolean {
  return error instanceof SkiffError && error.cause === remoteFailure;
}

/** Makes the client's side of a channel. */
export function ttrpcClient(channel: ByteChannel): TtrpcClient {
  const waiting = new Map<number, PromiseWithResolvers<ResponseMessage>>();
  let closed: SkiffError | undefined;
  let nextStream = 1; // A client's streams are odd.
  channel.onClose((why) => {
    closed = why;
    for (const { reject } of waiting.values()) reject(why);
    waiting.clear();
  });
  const read = frameReader(({ stream, type, message }) => {
    if (type === frameType.response) waiting.get(stream)?.resolve(decodeResponse(message));
  });
  channel.onData((bytes) => readOrClose(channel, read, bytes));
  return {
    async call(method, request, timeoutMs) {
      if (closed !== undefined) throw closed;
      const stream = nextStream;
      nextStream += 2;
      const answer = Promise.withResolvers<ResponseMessage>();
      const what = `${method.parent.name}.${method.name}`;
      const late = new SkiffError('DEADLINE_EXCEEDED', `${what} was not answered within ${timeoutMs} ms`);
      const timer = setTimeout(() => answer.reject(late), timeoutMs);
      waiting.set(stream, answer);
      try {
        const payload = toBinary(method.input, create(method.input, request as Record<string, unknown>));
        const timeout = BigInt(timeoutMs) * 1_000_000n;
        const message = encodeRequest({
          service: method.parent.typeName,
          method: method.name,
          payload,
          timeout,
        });
        channel.send(encodeFrame({ stream, type: frameType.request, message }));
        const { code, text, payload: output } = await answer.promise;
        if (code !== 0) throw new SkiffError(codeFromGrpc(code), text, { cause: remoteFailure });
        return fromBinary(method.output, output) as OutputOf<typeof method>;
      } finally {
        clearTimeout(timer);
        waiting.delete(stream);
      }
    },
  };
}

/** What answers a service's methods, by their local names (`registerPlugin`); those left out are UNIMPLEMENTED. */
export type TtrpcHandlers<S extends DescService> = {
  [K in keyof S['method']]?: (
    request: InputOf<S['method'][K]>,
  ) => Promise<OutputInitOf<S['method'][K]>> | OutputInitOf<S['method'][K]>;
};

/** Serves a service on a channel. What a handler throws goes back as its code and message. */
export function serveTtrpc<S extends DescService>(
  channel: ByteChannel,
  service: S,
  handlers: TtrpcHandlers<S>,
): void {
  let closed = false;
  channel.onClose(() => {
    closed = true;
  });
  const answer = async (stream: number, message: Uint8Array) => {
    const response = await respond(service, handlers, message);
    if (!closed)
      channel.send(encodeFrame({ stream, type: frameType.response, message: encodeResponse(response) }));
  };
  const read = frameReader(({ stream, type, message }) => {
    if (type !== frameType.request)
      throw new SkiffError('INVALID_ARGUMENT', `a ttrpc frame of type ${type}; a client sends requests (1)`);
    void answer(stream, message);
  });
  channel.onData((bytes) => readOrClose(channel, read, bytes));
}

async function respond<S extends DescService>(
  service: S,
  handlers: TtrpcHandlers<S>,
  message: Uint8Array,
): Promise<ResponseMessage> {
  try {
    const request = decodeRequest(message);
    return { code: 0, text: '', payload: await handle(service, handlers, request) };
  } catch (error) {
    const known = error instanceof SkiffError ? error : wrapError(error, 'Call failed');
    return { code: codeRow(known.code).grpc, text: known.message, payload: new Uint8Array() };
  }
}

async function handle<S extends DescService>(
  service: S,
  handlers: TtrpcHandlers<S>,
  request: RequestMessage,
): Promise<Uint8Array> {
  const method = service.methods.find(({ name }) => name === request.method);
  const byName = handlers as Record<string, ((input: unknown) => unknown) | undefined>;
  const handler = method === undefined ? undefined : byName[method.localName];
  if (request.service !== service.typeName || method === undefined || handler === undefined)
    throw new SkiffError('UNIMPLEMENTED', `there is no method ${request.service}/${request.method} here`);
  const output = await handler(fromBinary(method.input, request.payload));
  return toBinary(method.output, create(method.output, output as Record<string, unknown>));
}

/** What is no ttrpc ends the connection: where the next frame begins is unknown. */
function readOrClose(channel: ByteChannel, read: (bytes: Buffer) => void, bytes: Buffer): void {
  try {
    read(bytes);
  } catch (error) {
    channel.close(wrapError(error, 'What came over the connection is no ttrpc'));
  }
}
