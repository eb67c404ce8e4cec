/** The directories of pods under the kubelet's root: `pods/UID/{volumes,plugins,containers}` (mode 0750). */
import { mkdirSync, readdirSync } from 'node:fs';
import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';

export interface PodDirectories {
  /** Makes a pod's directories; success if they are there. */
  make(uid: string): void;
  /** UIDs of all pods that have a directory. */
  list(): string[];
  /**
   * Removes a pod's directory, never what may be a mounted volume.
   *
   * @throws Error when volumes are left in it.
   */
  remove(uid: string): Promise<void>;
}

/** @param root the kubelet's root directory. */
export function createPodDirectories(root: string): PodDirectories {
  const directory = (uid: string) => join(root, 'pods', uid);
  return {
    make(uid) {
      for (const part of ['volumes', 'plugins', 'containers']) {
        mkdirSync(join(directory(uid), part), { recursive: true, mode: 0o750 });
      }
    },
    list() {
      try {
        return readdirSync(join(root, 'pods'));
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return [];
        throw error;
      }
    },
    async remove(uid) {
      for (const part of ['volumes', 'volume-subpaths', 'volumeDevices']) {
        await removeEmpty(join(directory(uid), part));
      }
      await rm(directory(uid), { recursive: true, force: true });
    },
  };
}

/** Removes a tree that holds directories only: whatever is a file may be somebody's data behind a mount. */
async function removeEmpty(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (entries === undefined) return;
  for (const entry of entries) {
    if (!entry.isDirectory())
      throw new SkiffError('FAILED_PRECONDITION', `Cannot remove "${path}": "${entry.name}" is left in it`);
    await removeEmpty(join(path, entry.name));
  }
  await rmdir(path);
}
