/** A directory of a test's own. */
import { mkdtempSync, rmSync } from 'node:fs';

/** Runs `work` with a directory that is removed afterwards. */
export async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync('/tmp/skiff-');
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
