/** nfs: the machine's own mount.nfs(8) mounts it. */
import { mkdirSync } from 'node:fs';
import { runCommand } from '#foundation/linux/command.ts';
import { mountsBelow } from '#foundation/linux/mount.ts';
import type { VolumePlugin } from './plugin.ts';

/** Milliseconds to wait for a server that does not answer; the next try comes later. */
const mountMs = 60_000;

/** Makes the nfs plugin. @throws from `mount`: what mount(8) says. */
export function nfsPlugin(): VolumePlugin {
  return {
    name: 'nfs',
    handles: (volume) => volume.nfs !== undefined,
    async mount({ volume, directory, persistent, signal }) {
      const { server = '', path = '', readOnly = false } = volume.nfs ?? {};
      mkdirSync(directory, { recursive: true, mode: 0o750 });
      const options = [...(persistent?.spec?.mountOptions ?? []), ...(readOnly ? ['ro'] : [])];
      const flags = options.length === 0 ? [] : ['-o', options.join(',')];
      const source = `${server.includes(':') ? `[${server}]` : server}:${path}`;
      const there = mountsBelow(directory).some(({ target }) => target === directory);
      if (!there)
        await runCommand({
          file: 'mount',
          args: ['-t', 'nfs', ...flags, source, directory],
          timeoutMs: mountMs,
          signal,
        });
      return { hostPath: directory, readOnly };
    },
  };
}
