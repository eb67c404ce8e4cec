/**
 * Typed clients for protobuf-es services over grpc-js: unary calls are promises, server streams are
 * async iterables, failures are SkiffErrors.
 */
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import {
  credentials,
  type CallOptions as GrpcCallOptions,
  Client as GrpcClient,
  Metadata,
} from '@grpc/grpc-js';
import { SkiffError } from '#foundation/base/errors.ts';
import { type InitOf, methodDefinition, type OutputOf } from './service.ts';
import { fromServiceError } from './status.ts';

/** How to call. */
export interface CallOptions {
  /** Cancels the call when it aborts. */
  signal?: AbortSignal;
  /** Milliseconds until the call fails with DEADLINE_EXCEEDED; none unless told. */
  timeoutMs?: number;
}

/** The calls of a service. Client and bidirectional streams are not offered: no contract here has one. */
export type Client<S extends DescService> = {
  [K in keyof S['method']]: S['method'][K] extends DescMethod & { methodKind: 'unary' }
    ? (request: InitOf<S['method'][K]>, options?: CallOptions) => Promise<OutputOf<S['method'][K]>>
    : S['method'][K] extends DescMethod & { methodKind: 'server_streaming' }
      ? (request: InitOf<S['method'][K]>, options?: CallOptions) => AsyncIterable<OutputOf<S['method'][K]>>
      : never;
};

/** One connection that any number of services are called over. */
export interface Channel extends Disposable {
  /** Typed calls of `service`. */
  client<S extends DescService>(service: S): Client<S>;
  /** Ends the connection; calls under way fail with CANCELLED. */
  close(): void;
}

/** Bytes; the kubelet accepts 16 MiB per message and so do we. */
const maxMessageBytes = 16 * 1024 * 1024;

/**
 * Opens a channel. The connection is made at the first call and remade when it breaks.
 *
 * @param address `unix:///path/to.sock`, or `host:port`.
 */
export function openChannel(address: string): Channel {
  const grpc = new GrpcClient(address, credentials.createInsecure(), {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2000,
    'grpc.default_authority': 'localhost',
    'grpc.use_local_subchannel_pool': 1,
  });
  const close = () => grpc.close();
  return {
    client: <S extends DescService>(service: S) => clientOf(grpc, service),
    close,
    [Symbol.dispose]: close,
  };
}

function clientOf<S extends DescService>(grpc: GrpcClient, service: S): Client<S> {
  const calls = service.methods.map((method) => [
    method.localName,
    method.methodKind === 'server_streaming'
      ? streamCall(grpc, service, method)
      : unaryCall(grpc, service, method),
  ]);
  return Object.fromEntries(calls) as Client<S>;
}

function grpcOptions(options: CallOptions): GrpcCallOptions {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}

function unaryCall(grpc: GrpcClient, service: DescService, method: DescMethod) {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(service, method);
  return (request: object, options: CallOptions = {}): Promise<object> =>
    new Promise((resolve, reject) => {
      if (options.signal?.aborted) return reject(fromServiceError(options.signal.reason));
      const cancel = () => call.cancel();
      const done = (error: Error | null, response?: object) => {
        options.signal?.removeEventListener('abort', cancel);
        if (error !== null || response === undefined) reject(failure(error, options));
        else resolve(response);
      };
      const call = grpc.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
        grpcOptions(options),
        done,
      );
      options.signal?.addEventListener('abort', cancel, { once: true });
    });
}

/** A call that the caller ended fails for the caller's reason, not with gRPC's words for it. */
function failure(error: unknown, { signal }: CallOptions): SkiffError {
  const failed = fromServiceError(error);
  const reason: unknown = signal?.reason;
  return failed.code === 'CANCELLED' && reason instanceof SkiffError ? reason : failed;
}

function streamCall(grpc: GrpcClient, service: DescService, method: DescMethod) {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(service, method);
  return async function* (request: object, options: CallOptions = {}): AsyncGenerator<object> {
    const call = grpc.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
      grpcOptions(options),
    );
    const cancel = () => call.cancel();
    options.signal?.addEventListener('abort', cancel, { once: true });
    try {
      for await (const message of call) yield message as object;
    } catch (error) {
      throw failure(error, options);
    } finally {
      options.signal?.removeEventListener('abort', cancel);
      call.cancel();
    }
  };
}
