/**
 * Keeps a file server whose limit of open files is low (../storage/open-files.ts) from reaching it: in time, the guest
 * is told to forget what it does not use.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PodVm } from '../factory/types.ts';
import { lockedIn, type OpenFiles, openFilesOf } from '../storage/open-files.ts';
import type { Core } from './core.ts';

/** With so many, a guest's memory is full before: a hundred thousand inodes are a hundred megabytes. */
const plenty = 500_000;
/** Milliseconds between looks, each some microseconds; and after one that did not help, since all is in use. */
const lookMs = 200;
const restMs = 5000;

/** Does so until the pod ends. */
export async function limitOpenFiles(core: Core, { share, agent }: PodVm): Promise<void> {
  if (share === undefined) return;
  const pid = lockedIn(share.pid);
  const isMuch = (now: OpenFiles | undefined) => now !== undefined && now.open > now.limit / 4;
  const limit = openFilesOf(pid)?.limit ?? plenty;
  if (limit >= plenty) return;
  core.say('the file server of the VM may open few files', { limit });
  for (let pauseMs = lookMs; core.life.phase !== 'ending' && core.life.phase !== 'ended'; ) {
    await sleep(pauseMs, undefined, { ref: false });
    pauseMs = lookMs;
    if (!isMuch(openFilesOf(pid))) continue;
    // An agent that does not answer is noticed elsewhere.
    await agent.dropCaches().catch(() => {});
    if (isMuch(openFilesOf(pid))) pauseMs = restMs;
  }
}
