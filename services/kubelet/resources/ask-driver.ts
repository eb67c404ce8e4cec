/** Which cgroup driver the pods' cgroups are named by: the runtime's, which makes those of the containers in them. */
import type { CriClient } from '#contracts/cri/client.ts';
import { CgroupDriver as CriCgroupDriver } from '#contracts/cri/runtime_pb.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { CgroupDriver } from './cgroup-names.ts';

/** How often a runtime that fails is asked, with a pause of so many milliseconds: it may be starting itself. */
const tries = 50;
const pauseMs = 100;
/** Milliseconds that it may take to answer. */
const answerMs = 2000;

/** What asking needs. */
export interface AskDriverDeps {
  runtime: Pick<CriClient['runtime'], 'runtimeConfig'>;
  clock: Clock;
  logger: Logger;
}

/**
 * Asks the runtime (RuntimeConfig of the CRI, KEP-4033).
 *
 * @param configured `cgroupDriver`, for runtimes that do not know the call, answer nothing, or cannot answer.
 */
export async function askDriver(
  { runtime, clock, logger }: AskDriverDeps,
  configured: CgroupDriver,
): Promise<CgroupDriver> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { linux } = await runtime.runtimeConfig({}, { timeoutMs: answerMs });
      if (linux === undefined) return configured;
      return linux.cgroupDriver === CriCgroupDriver.SYSTEMD ? 'systemd' : 'cgroupfs';
    } catch (error) {
      if (isSkiffError(error, 'UNIMPLEMENTED')) return configured;
      if (attempt === tries) {
        const why = { error: messageOf(error), cgroupDriver: configured };
        logger.warn(why, 'The runtime does not say which cgroup driver it has; the configured one is used');
        return configured;
      }
      await clock.sleep(pauseMs);
    }
  }
}
