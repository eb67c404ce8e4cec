/** The end of a pod: nothing of it is left, and its directory goes last. */
import { rmSync } from 'node:fs';
import type { Core } from './core.ts';

/** Removes what a pod whose VM has ended, and whose containers are deleted, has on disk; then ends the supervisor. */
export async function removePod(core: Core): Promise<void> {
  core.events.close();
  rmSync(core.paths.directory, { recursive: true, force: true });
  core.onOver();
}
