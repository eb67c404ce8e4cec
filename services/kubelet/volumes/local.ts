/** local: a directory or disk of this machine behind a persistent volume, bind-mounted for the pod. */
import { mkdirSync, statSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import { bindMount, mountsBelow } from '#foundation/linux/mount.ts';
import { setOwnership } from './ownership.ts';
import type { VolumePlugin } from './plugin.ts';

/** Makes the local plugin. */
export function localPlugin(): VolumePlugin {
  return {
    name: 'local-volume',
    handles: (volume) => 'local' in volume && volume.local !== undefined,
    async mount({ pod, volume, directory, readOnly }) {
      const path = 'local' in volume ? (volume.local as { path: string }).path : '';
      const status = statSync(path, { throwIfNoEntry: false });
      if (status === undefined) throw new SkiffError('NOT_FOUND', `path "${path}" does not exist`);
      if (status.isBlockDevice()) return { hostPath: path, readOnly, block: true };
      mkdirSync(directory, { recursive: true, mode: 0o750 });
      const there = mountsBelow(directory).some(({ target }) => target === directory);
      if (!there) bindMount(path, directory, { readOnly });
      const group = pod.spec.securityContext?.fsGroup;
      const policy = pod.spec.securityContext?.fsGroupChangePolicy;
      if (group !== undefined && !readOnly && !there) setOwnership(directory, { group, readOnly, policy });
      return { hostPath: directory, readOnly };
    },
  };
}
