/**
 * ReopenContainerLog, after the client renamed the log. conmon writes to the renamed file until it opens the new
 * one, so no line is lost; the call returns when the new file is there, because the kubelet looks at once.
 */
import { statSync } from 'node:fs';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { reopenLog } from './control.ts';
import type { Core } from './deps.ts';
import { isRunning } from './lifecycle.ts';

/** Milliseconds conmon may take. */
const patienceMs = 5000;

/** Reopens the log of a running container. @throws SkiffError FAILED_PRECONDITION in any other state. */
export async function reopenContainerLog(core: Core, id: string, signal: AbortSignal): Promise<void> {
  const container = core.table.get(id);
  try {
    const { life, logPath } = container.record;
    if (!isRunning(life)) throw new SkiffError('FAILED_PRECONDITION', `it is ${life.phase}, not running`);
    if (logPath === '') throw new SkiffError('FAILED_PRECONDITION', 'it has no log');
    reopenLog(core, container.id);
    const end = core.clock.monotonic() + patienceMs;
    while (statSync(logPath, { throwIfNoEntry: false }) === undefined) {
      if (core.clock.monotonic() > end)
        throw new SkiffError('DEADLINE_EXCEEDED', `"${logPath}" did not appear within ${patienceMs} ms`);
      await core.clock.sleep(2, signal);
    }
  } catch (error) {
    throw wrapError(error, `Cannot reopen the log of container "${id}"`);
  }
}
