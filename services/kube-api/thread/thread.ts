/**
 * The API in a thread of its own. Who runs it beside a kubelet keeps both quick so: calls are answered while pods
 * start, and commits to disk hold nobody up. A thread that ends by itself is started again at the same port; what it
 * had acknowledged is on disk, and clients go on as after a restart.
 *
 *     ended --start--> serving --(ends by itself)--> waiting --pause--> serving
 *       ^-----------------+----------- stop ------------+
 */
import { Worker } from 'node:worker_threads';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { type Clock, systemClock } from '#foundation/base/time.ts';
import { type ApiPlaces, placesIn } from '../places.ts';
import type { ThreadAnswer, ThreadOrder } from './messages.ts';

/** Milliseconds before a thread that ended by itself is started again: the first time, and at most. */
const firstPauseMs = 100;
const longestPauseMs = 30_000;
/** A thread that served so long has not failed at once: the pauses begin anew. */
const soundMs = 60_000;

/** How the thread is made. */
export interface ApiThreadDeps {
  config: ThreadOrder['config'];
  logLevel: ThreadOrder['logLevel'];
  logger: Logger;
  clock?: Clock;
  /** The thread's entry, where it is another than this folder's. */
  entry?: URL;
}

/** The API, seen from the thread that started it. */
export interface ApiThread extends ApiPlaces {
  /** Resolves when it listens. @throws SkiffError as the API's own start does. */
  start(): Promise<void>;
  /** Ends calls and watches, and closes the store. */
  stop(): Promise<void>;
  /** `https://127.0.0.1:PORT`; known after the start. */
  readonly url: string;
}

type State =
  | { kind: 'ended' }
  | { kind: 'serving'; worker: Worker; gone: Promise<void> }
  | { kind: 'waiting'; stop: AbortController; gone: Promise<void> };

interface Runner extends Required<ApiThreadDeps> {
  port: number;
  /** Milliseconds before the next start again. */
  pauseMs: number;
  state: State;
}

/** Makes it; no thread runs before `start`. */
export function createApiThread(deps: ApiThreadDeps): ApiThread {
  const runner: Runner = {
    clock: systemClock,
    entry: new URL('./worker.ts', import.meta.url),
    ...deps,
    port: deps.config.port,
    pauseMs: firstPauseMs,
    state: { kind: 'ended' },
  };
  return {
    ...placesIn(deps.config.directory),
    start: () => serve(runner),
    stop: () => stop(runner),
    get url() {
      return `https://${deps.config.address}:${runner.port}`;
    },
  };
}

async function serve(runner: Runner): Promise<void> {
  const { config, logLevel, entry } = runner;
  const order: ThreadOrder = { config: { ...config, port: runner.port }, logLevel };
  const worker = new Worker(entry, {
    workerData: order,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const answer = Promise.withResolvers<ThreadAnswer>();
  let why = 'it ended';
  worker.once('message', answer.resolve);
  worker.on('error', (error) => {
    why = messageOf(error);
  });
  const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const { clock } = runner;
  const began = clock.monotonic();
  void gone.then(() => answer.resolve({ code: 'INTERNAL', message: `The API's thread failed: ${why}` }));
  const started = await answer.promise;
  if ('code' in started) {
    await gone;
    throw new SkiffError(started.code, started.message);
  }
  runner.port = started.port;
  const state: State = { kind: 'serving', worker, gone };
  runner.state = state;
  void gone.then(() => {
    if (runner.state === state) restart(runner, why, clock.monotonic() - began);
  });
}

/** Starts it again, for as long as it takes: without it nobody could change anything here. */
function restart(runner: Runner, why: string, servedMs: number): void {
  const { clock, logger } = runner;
  logger.error({ error: why }, 'the API has ended; it is started again');
  if (servedMs >= soundMs) runner.pauseMs = firstPauseMs;
  const stopping = new AbortController();
  const again = async () => {
    while (!stopping.signal.aborted) {
      await clock.sleep(runner.pauseMs, stopping.signal).catch(() => {});
      if (stopping.signal.aborted) return;
      runner.pauseMs = Math.min(runner.pauseMs * 2, longestPauseMs);
      try {
        await serve(runner);
        return;
      } catch (error) {
        logger.error({ error: messageOf(error) }, 'the API cannot be started again');
      }
    }
  };
  runner.state = { kind: 'waiting', stop: stopping, gone: again() };
}

async function stop(runner: Runner): Promise<void> {
  const { state } = runner;
  if (state.kind === 'waiting') {
    state.stop.abort();
    await state.gone;
    // It may have come back in between.
    if (runner.state !== state) return stop(runner);
  }
  runner.state = { kind: 'ended' };
  if (state.kind !== 'serving') return;
  state.worker.postMessage('stop');
  await state.gone;
}
