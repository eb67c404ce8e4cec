/**
 * Delays the machine's shutdown until the pods have ended: the link between logind and the core, which ends pods by
 * priority (`sync-loop/shutdown.ts`). logind waits `InhibitDelayMaxSec` at most (logind.conf(5), 5 s unless set):
 * it must not be less than the grace period.
 */
import type { Logger } from '#foundation/base/log.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import { durationMs } from '../configuration/duration.ts';

/** Delays the machine's shutdown and tells of it; `inhibitShutdown` of the foundation does. */
export type ShutdownSource = (
  onShutdown: (starting: boolean) => void,
) => Promise<{ release(): void; close(): void }>;

/** What the delay needs. */
export interface ShutdownDelayDeps {
  /** Whether shutdown is to be graceful at all. */
  wanted: boolean;
  source: ShutdownSource;
  /** Ends the node's pods; resolves when they are gone or their time is over. */
  endPods: () => Promise<void>;
  /** The machine stays after all. */
  calledOff: () => void;
  log: Logger;
}

/** Whether a configuration asks for a graceful shutdown. */
export function wantsGracefulShutdown(configuration: KubeletConfiguration): boolean {
  const { shutdownGracePeriod, shutdownGracePeriodByPodPriority } = configuration;
  return durationMs(shutdownGracePeriod) > 0 || shutdownGracePeriodByPodPriority.length > 0;
}

/** Makes the delay. A machine that cannot wait is served all the same, with a warning. */
export function createShutdownDelay(deps: ShutdownDelayDeps): {
  start(): Promise<void>;
  stop(): Promise<void>;
} {
  let inhibitor: Awaited<ReturnType<ShutdownSource>> | undefined;
  let ending: Promise<void> | undefined;
  let callingOff: Promise<void> | undefined;
  let stopped = false;
  const onShutdown = (starting: boolean) => {
    if (starting) ending ??= endPods();
    else if (ending !== undefined) callingOff = callOff(ending);
  };
  /** The lock has been released, or is about to be: the next shutdown is delayed by another. */
  const callOff = async (ended: Promise<void>) => {
    ending = undefined;
    deps.calledOff();
    await ended;
    inhibitor?.close();
    if (!stopped) await take();
  };
  const take = async () => {
    try {
      inhibitor = await deps.source(onShutdown);
    } catch (error) {
      deps.log.warn({ err: error }, 'pods will not be ended gracefully when this machine shuts down');
    }
  };
  const endPods = async () => {
    try {
      await deps.endPods();
    } catch (error) {
      deps.log.warn({ err: error }, 'some pods did not end before the shutdown');
    } finally {
      inhibitor?.release();
    }
  };
  return {
    async start() {
      if (deps.wanted) await take();
    },
    async stop() {
      stopped = true;
      await ending;
      await callingOff;
      inhibitor?.close();
    },
  };
}
