/**
 * Serves protobuf-es services over grpc-js. A handler is an async function (or async generator for a
 * stream) of the request and a context; what it throws becomes a gRPC status in one place. Methods
 * without a handler answer UNIMPLEMENTED.
 */
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import {
  Server as GrpcServer,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { SkiffError } from '#foundation/base/errors.ts';
import { type InputOf, type OutputInitOf, serviceDefinition } from './service.ts';
import { toStatus } from './status.ts';

/** What a handler knows of its call. */
export interface CallContext {
  /** Aborts when the client went away, cancelled, or its deadline passed. */
  signal: AbortSignal;
  /** Milliseconds since the epoch when the client stops waiting; Infinity if it set no deadline. */
  deadline: number;
}

/** Handlers for some or all methods of a service. */
export type Handlers<S extends DescService> = {
  [K in keyof S['method']]?: S['method'][K] extends DescMethod & { methodKind: 'server_streaming' }
    ? (request: InputOf<S['method'][K]>, context: CallContext) => AsyncIterable<OutputInitOf<S['method'][K]>>
    : (request: InputOf<S['method'][K]>, context: CallContext) => Promise<OutputInitOf<S['method'][K]>>;
};

/** Sees every call when it has ended: for logs and metrics. */
export type CallObserver = (call: { method: string; milliseconds: number; error?: unknown }) => void;

/** A gRPC server to which services are added before it listens. */
export interface RpcServer {
  /** Adds a service. */
  add<S extends DescService>(service: S, handlers: Handlers<S>): void;
  /** Listens on `unix:///path` or `host:port`. @throws SkiffError UNAVAILABLE if it cannot. */
  listen(address: string): Promise<void>;
  /**
   * Stops accepting calls, waits up to `graceMs` milliseconds for those under way, cancels the rest, and waits up to
   * `settleMs` for these to undo what they had begun: with what the caller is to close next. Not at all unless told.
   */
  close(graceMs?: number, settleMs?: number): Promise<void>;
}

type AnyUnary = (request: object, context: CallContext) => Promise<object>;
type AnyStream = (request: object, context: CallContext) => AsyncIterable<object>;

/** Makes a server that does not listen yet. */
export function createRpcServer(observe: CallObserver = () => {}): RpcServer {
  const grpc = new GrpcServer({
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
    'grpc.max_send_message_length': -1,
  });
  const running = new Set<Promise<void>>();
  const track = (work: Promise<void>) => {
    running.add(work);
    return work.finally(() => running.delete(work));
  };
  return {
    add(service, handlers) {
      const table = handlers as unknown as Record<string, AnyUnary & AnyStream>;
      const implementation = service.methods.map((method) => {
        const handler = table[method.localName] ?? unimplemented(service, method);
        const serve =
          method.methodKind === 'server_streaming'
            ? serveStream(method, handler as AnyStream, observe)
            : serveUnary(method, handler as AnyUnary, observe);
        return [method.localName, (call: never, answer: never) => track(serve(call, answer))];
      });
      grpc.addService(
        serviceDefinition(service),
        Object.fromEntries(implementation) as UntypedServiceImplementation,
      );
    },
    listen: (address) =>
      new Promise((resolve, reject) => {
        grpc.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
          if (error === null) resolve();
          else reject(new SkiffError('UNAVAILABLE', `Cannot listen on ${address}: ${error.message}`));
        });
      }),
    async close(graceMs = 2000, settleMs = 0) {
      await shutDown(grpc, graceMs);
      if (settleMs > 0) await settled(running, settleMs);
    },
  };
}

function shutDown(grpc: GrpcServer, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => {
      grpc.forceShutdown();
      resolve();
    }, graceMs);
    grpc.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}

async function settled(running: ReadonlySet<Promise<void>>, ms: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, ms);
  await Promise.race([Promise.allSettled(running), late.promise]);
  clearTimeout(timer);
}

function unimplemented(service: DescService, method: DescMethod): unknown {
  const fail = () => {
    throw new SkiffError(
      'UNIMPLEMENTED',
      `${service.typeName}/${method.name} is not implemented by Skiff yet`,
    );
  };
  if (method.methodKind !== 'server_streaming') return async () => fail();
  // biome-ignore lint/correctness/useYield: it throws before it would.
  return async function* () {
    fail();
  };
}

/** The context of a call, and `answered`, to be called at its end: grpc-js calls the end of any call a cancelling. */
function contextOf(call: {
  cancelled: boolean;
  getDeadline(): Date | number;
  on(event: 'cancelled', listener: () => void): unknown;
  off(event: 'cancelled', listener: () => void): unknown;
}): { context: CallContext; answered: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort(new SkiffError('CANCELLED', 'the client cancelled the call'));
  if (call.cancelled) abort();
  call.on('cancelled', abort);
  const context = { signal: controller.signal, deadline: Number(call.getDeadline()) };
  return { context, answered: () => call.off('cancelled', abort) };
}

function serveUnary(method: DescMethod, handler: AnyUnary, observe: CallObserver) {
  return async (call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>): Promise<void> => {
    const start = performance.now();
    const { context, answered } = contextOf(call);
    let failure: unknown;
    try {
      const response = await handler(call.request, context);
      answered();
      answer(null, response);
    } catch (error) {
      failure = error;
      answered();
      answer(toStatus(error));
    }
    observe({ method: method.name, milliseconds: performance.now() - start, error: failure });
  };
}

function serveStream(method: DescMethod, handler: AnyStream, observe: CallObserver) {
  return async (call: ServerWritableStream<object, object>): Promise<void> => {
    const start = performance.now();
    const { context } = contextOf(call);
    let failure: unknown;
    try {
      for await (const message of handler(call.request, context)) {
        if (!call.write(message)) await drained(call, context.signal);
        context.signal.throwIfAborted();
      }
      call.end();
    } catch (error) {
      failure = error;
      call.emit('error', toStatus(error));
    }
    observe({ method: method.name, milliseconds: performance.now() - start, error: failure });
  };
}

/** Waits until the client reads again, so that one that never reads costs one message, not all. */
function drained(call: ServerWritableStream<object, object>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    call.once('drain', resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
