/** Runs services in the foreground until SIGTERM or SIGINT: `skiff node`, `skiff cri`, `skiff kubelet`. */
import { messageOf } from '#foundation/base/errors.ts';
import { createLogger, type Logger } from '#foundation/base/log.ts';
import { collectWhenIdle } from '#foundation/linux/idle-heap.ts';
import { serveThisThreadFirst } from '#foundation/linux/scheduling.ts';
import type { Config } from '../config/schema.ts';
import type { Context } from '../context.ts';

/** Something that runs. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  /** Ends it; what it runs for others (containers) lives on. */
  stop(): Promise<void>;
}

/**
 * Starts services in order, says `ready`, waits for the signal, and stops them in reverse order.
 *
 * @throws the first failure to start, after stopping what had started.
 */
export async function serve(
  context: Context,
  log: Logger,
  services: readonly Service[],
  ready: () => void,
): Promise<void> {
  await using running = new AsyncDisposableStack();
  running.use(collectWhenIdle());
  beServedFirst(log);
  for (const service of services) {
    await service.start();
    running.defer(() => service.stop());
    log.info({ service: service.name }, 'started');
  }
  ready();
  log.info('ready');
  await new Promise<void>((resolve) => {
    if (context.interrupted.aborted) resolve();
    else context.interrupted.addEventListener('abort', () => resolve(), { once: true });
  });
  log.info('stopping');
}

/** The event loop answers everybody: its worker threads, which unpack images, must not keep a processor from it. */
function beServedFirst(log: Logger): void {
  try {
    serveThisThreadFirst();
  } catch (error) {
    log.debug({ error: messageOf(error) }, 'the event loop has no priority over its worker threads');
  }
}

/** The log of a service process: JSON lines on standard error. */
export function serviceLogger(config: Config): Logger {
  return createLogger(config.logLevel);
}
