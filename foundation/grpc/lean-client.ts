/** The lean gRPC client: the calls of `client.ts` over Node's own HTTP/2, for a unix socket. */

import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { create, type DescMethod, type DescService, fromBinary, toBinary } from '@bufbuild/protobuf';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';
import { longestTimerMs } from '#foundation/base/time.ts';
import type { CallOptions, Channel, Client } from './client.ts';
import { frame, frameReader, statusError, timeoutHeader } from './lean-wire.ts';

/**
 * Opens a channel to a unix socket. One connection, made at once and never remade: a call after it broke fails
 * with UNAVAILABLE.
 */
export function openLeanChannel(socketPath: string): Channel {
  const session = connect('http://localhost', { createConnection: () => connectSocket(socketPath) });
  let broken: Error | undefined;
  session.on('error', (error) => {
    broken = error;
  });
  session.on('close', () => {
    broken ??= new Error('the connection has ended');
  });
  const connection: Connection = { session, socketPath, broken: () => broken };
  const close = () => session.destroy();
  return {
    client: <S extends DescService>(service: S) => clientOf(connection, service),
    close,
    [Symbol.dispose]: close,
  };
}

interface Connection {
  session: ClientHttp2Session;
  socketPath: string;
  broken(): Error | undefined;
}

function clientOf<S extends DescService>(connection: Connection, service: S): Client<S> {
  const calls = service.methods.map((method) => [
    method.localName,
    method.methodKind === 'server_streaming'
      ? (request: object, options?: CallOptions) => call(connection, service, method, request, options)
      : (request: object, options?: CallOptions) => unary(connection, service, method, request, options),
  ]);
  return Object.fromEntries(calls) as Client<S>;
}

async function unary(
  connection: Connection,
  service: DescService,
  method: DescMethod,
  request: object,
  options?: CallOptions,
): Promise<object> {
  let answer: object | undefined;
  for await (const message of call(connection, service, method, request, options)) answer = message;
  if (answer === undefined) throw new SkiffError('INTERNAL', `${method.name} answered nothing`);
  return answer;
}

async function* call(
  connection: Connection,
  service: DescService,
  method: DescMethod,
  request: object,
  { signal, timeoutMs }: CallOptions = {},
): AsyncGenerator<object> {
  if (signal?.aborted) throw new SkiffError('CANCELLED', `${method.name} was cancelled`);
  const stream = open(connection, `/${service.typeName}/${method.name}`, timeoutMs);
  let failure: SkiffError | undefined;
  const fail = (error: SkiffError) => {
    failure ??= error;
    stream.close(8);
  };
  const cancel = () => fail(new SkiffError('CANCELLED', `${method.name} was cancelled`));
  const late = () =>
    fail(new SkiffError('DEADLINE_EXCEEDED', `${method.name} did not answer within ${timeoutMs} ms`));
  const timer = timeoutMs === undefined ? undefined : setTimeout(late, Math.min(timeoutMs, longestTimerMs));
  signal?.addEventListener('abort', cancel, { once: true });
  let ended: SkiffError | undefined | 'open' = 'open';
  stream.on('trailers', (trailers) => {
    ended = statusError(trailers);
  });
  stream.on('response', (headers) => {
    if (headers['grpc-status'] !== undefined) ended = statusError(headers);
  });
  try {
    stream.end(frame(toBinary(method.input, create(method.input, request as Record<string, unknown>))));
    const reader = frameReader();
    for await (const chunk of stream)
      for (const message of reader.push(chunk as Buffer)) yield fromBinary(method.output, message);
    if (failure === undefined && ended === 'open') failure = lost(connection, method, undefined);
    else if (ended !== 'open') failure ??= ended;
  } catch (error) {
    failure ??= error instanceof SkiffError ? error : lost(connection, method, error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
    if (!stream.closed) stream.close(8);
  }
  if (failure !== undefined) throw failure;
}

function open(connection: Connection, path: string, timeoutMs: number | undefined): ClientHttp2Stream {
  try {
    const headers = {
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc+proto',
      te: 'trailers',
      ...(timeoutMs === undefined ? {} : { 'grpc-timeout': timeoutHeader(timeoutMs) }),
    };
    const stream = connection.session.request(headers);
    stream.on('error', () => {}); // The loop over it throws the same.
    return stream;
  } catch (error) {
    throw unavailable(connection, error);
  }
}

function lost(connection: Connection, method: DescMethod, error: unknown): SkiffError {
  const cause = connection.broken() ?? error;
  return cause === undefined
    ? new SkiffError('UNAVAILABLE', `${method.name} ended without a status`)
    : unavailable(connection, cause);
}

function unavailable(connection: Connection, error: unknown): SkiffError {
  const cause = connection.broken() ?? error;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new SkiffError('UNAVAILABLE', `Cannot reach ${connection.socketPath}: ${why}`, {
    cause,
    errno: errnoOf(cause),
  });
}
