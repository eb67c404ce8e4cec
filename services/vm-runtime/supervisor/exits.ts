/** Takes note of the end of a process in the guest: on disk, to its shim, to those who wait and watch. */
import { nowNanos } from '#foundation/base/time.ts';
import type { Container, Core, Running } from './core.ts';
import type { LinkExit } from './io/process-link.ts';
import { containerStateFile } from './paths.ts';
import { type ExitRecord, saveRecord } from './records.ts';

/**
 * Takes note of an end. Idempotent: the first end is the one that counts.
 *
 * @param exec the command that ended, if it was not the container's own process.
 */
export function observeExit(
  core: Core,
  container: Container,
  end: LinkExit,
  exec?: { id: string; running: Running },
): void {
  if (exec === undefined) observeOwnExit(core, container, end);
  else observeExecExit(core, container, end, exec);
}

function observeOwnExit(core: Core, container: Container, { code, signal, written }: LinkExit): void {
  const { record } = container;
  const isNews = record.status !== 'stopped' || record.exit === undefined;
  const oomKilled = record.oomKills > 0 && code !== 0;
  const exit = isNews ? { code, signal, at: String(nowNanos()), oomKilled } : (record.exit as ExitRecord);
  record.status = 'stopped';
  record.exit = exit;
  if (isNews) saveContainer(core, container);
  container.ended.resolve(exit);
  // A shim's end is what the host takes for the container's: all that it may ask is on disk by now.
  container.link.finish({ code: exit.code, signal: exit.signal, written });
  if (isNews) core.events.emit('CONTAINER_EXITED', { container: record.id, exit });
}

function observeExecExit(
  core: Core,
  container: Container,
  { code, signal, written }: LinkExit,
  { id, running }: { id: string; running: Running },
): void {
  if (running.hasEnded) return;
  running.hasEnded = true;
  const exit: ExitRecord = { code, signal, at: String(nowNanos()), oomKilled: false };
  running.ended.resolve(exit);
  running.link.finish({ code, signal, written });
  core.events.emit('EXEC_EXITED', { container: container.record.id, exec: id, exit });
}

/** Puts a container's record on disk. */
export function saveContainer(core: Core, { record }: Container): void {
  try {
    saveRecord(containerStateFile(core.config.root, record.id), record);
  } catch (error) {
    // A full disk: memory says how it is, and the shim's end tells the rest.
    core.say('a record could not be written', { container: record.id, error: String(error) });
  }
}

/** Watches a process for its end. The end of the VM is noted elsewhere. */
export function watchExit(
  core: Core,
  container: Container,
  running: Running,
  exec?: { id: string; running: Running },
): void {
  const note = async (end: LinkExit) => {
    if (exec === undefined && end.signal === SIGKILL) await countOomKills(core, container);
    observeExit(core, container, end, exec);
  };
  running.process?.exited.then(note, () => {});
}

const SIGKILL = 9;

/** The news of a kill for want of memory may come after that of the process's end. */
async function countOomKills(core: Core, { record }: Container): Promise<void> {
  if (core.life.phase !== 'ready') return;
  const stats = await core.life.pod.agent.containerStats(record.id, { deadlineMs: 2000 }).catch(() => {});
  if (stats !== undefined) record.oomKills = Math.max(record.oomKills, stats.oomKills);
}
