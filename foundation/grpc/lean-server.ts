/** The lean gRPC server: the handlers of `server.ts` over Node's own HTTP/2, on a unix socket. */

import {
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { create, type DescMethod, type DescService, fromBinary, toBinary } from '@bufbuild/protobuf';
import { SkiffError } from '#foundation/base/errors.ts';
import { longestTimerMs } from '#foundation/base/time.ts';
import { frame, frameReader, maxMessageBytes, statusTrailers, timeoutOf } from './lean-wire.ts';
import type { CallContext, Handlers, RpcServer } from './server.ts';

type AnyHandler = (request: object, context: CallContext) => Promise<object> | AsyncIterable<object>;

interface Method {
  method: DescMethod;
  handler?: AnyHandler;
}

/** Makes a server that does not listen yet. Methods without a handler answer UNIMPLEMENTED. */
export function createLeanServer(): RpcServer {
  const methods = new Map<string, Method>();
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer();
  let calls = 0;
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => {}); // The client has gone.
  });
  server.on('stream', (stream, headers) => {
    calls += 1;
    stream.on('error', () => {});
    stream.on('close', () => {
      calls -= 1;
    });
    void serve(methods, stream as ServerHttp2Stream, headers);
  });
  return {
    add<S extends DescService>(service: S, handlers: Handlers<S>) {
      const table = handlers as unknown as Record<string, AnyHandler>;
      for (const method of service.methods)
        methods.set(`/${service.typeName}/${method.name}`, { method, handler: table[method.localName] });
    },
    listen: (address) =>
      new Promise((resolve, reject) => {
        const path = address.replace(/^unix:(\/\/)?/, '');
        const fail = (error: Error) =>
          reject(
            new SkiffError('UNAVAILABLE', `Cannot listen on ${path}: ${error.message}`, { cause: error }),
          );
        server.once('error', fail);
        server.listen(path, () => {
          server.off('error', fail);
          resolve();
        });
      }),
    async close(graceMs = 2000) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const end = performance.now() + graceMs;
      while (calls > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
      for (const session of sessions) session.close();
      const force = setTimeout(() => {
        for (const session of sessions) session.destroy();
      }, 1000);
      await closed;
      clearTimeout(force);
    },
  };
}

async function serve(
  methods: ReadonlyMap<string, Method>,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  const controller = new AbortController();
  const cancel = () => controller.abort(new SkiffError('CANCELLED', 'the client cancelled the call'));
  stream.once('close', cancel);
  const timeout = timeoutOf(headers['grpc-timeout']);
  const timer = Number.isFinite(timeout) ? setTimeout(cancel, Math.min(timeout, longestTimerMs)) : undefined;
  let trailers: Record<string, string> = statusTrailers();
  // Trailers are asked for when the last byte of the answer has been passed on.
  stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  try {
    const path = String(headers[':path']);
    const found = methods.get(path);
    if (found?.handler === undefined)
      throw new SkiffError('UNIMPLEMENTED', `${path.slice(1)} is not implemented by Skiff yet`);
    const { method, handler } = found;
    const request = fromBinary(method.input, await requestOf(stream));
    const context: CallContext = { signal: controller.signal, deadline: Date.now() + timeout };
    const answer = handler(request, context);
    if (Symbol.asyncIterator in answer)
      for await (const message of answer) await send(stream, method, message, controller.signal);
    else await send(stream, method, await answer, controller.signal);
  } catch (error) {
    trailers = statusTrailers(error);
  } finally {
    clearTimeout(timer);
    stream.off('close', cancel);
    if (!stream.destroyed) stream.end();
  }
}

async function requestOf(stream: ServerHttp2Stream): Promise<Buffer> {
  const reader = frameReader();
  let bytes = 0;
  let message: Buffer | undefined;
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > maxMessageBytes + 5) throw new SkiffError('RESOURCE_EXHAUSTED', 'the request is too long');
    for (const whole of reader.push(chunk as Buffer)) message ??= whole;
  }
  if (message === undefined) throw new SkiffError('INVALID_ARGUMENT', 'the call has no request');
  return message;
}

/** Waits until the client reads again, so that one that never reads costs one message, not all. */
async function send(
  stream: ServerHttp2Stream,
  method: DescMethod,
  message: object,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const bytes = toBinary(method.output, create(method.output, message as Record<string, unknown>));
  if (stream.write(frame(bytes))) return;
  await new Promise<void>((resolve) => {
    stream.once('drain', resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
