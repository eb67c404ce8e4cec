/** The real `SandboxHost`: directories, namespaces, mounts and the pause process on this machine. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { unmount } from '#foundation/linux/mount.ts';
import { isPinned } from '#foundation/linux/namespaces.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import type { Selinux } from '../selinux/policy.ts';
import { setLabel } from '../selinux/relabel.ts';
import type { SandboxHost } from './deps.ts';
import { mountShm, writeHosts, writeNameFiles } from './files.ts';
import type { Sandbox } from './lifecycle.ts';
import { makeNamespaces, releaseNamespaces } from './namespaces.ts';
import { sandboxesDirectory, sandboxPaths } from './paths.ts';
import type { PauseDriver } from './pause.ts';

/** Makes the host port for sandboxes below the run directory. */
export function createSandboxHost(
  run: string,
  pause: PauseDriver,
  spawner: Spawner,
  selinux?: Selinux,
): SandboxHost {
  /** The SELinux label of a pod's files; undefined on machines without. */
  const fileLabel = ({ config, resources }: Sandbox): string | undefined => {
    const { selinuxOptions } = config.linux?.securityContext ?? {};
    if (selinux === undefined || resources.selinuxLevel === undefined) return undefined;
    return selinux.labels(selinuxOptions, resources.selinuxLevel, false).mount;
  };
  const at = (id: string) => sandboxPaths(run, id);
  return {
    makeDirectories({ id, config }) {
      const { directory, shm, namespaces } = at(id);
      for (const path of [directory, shm, namespaces]) mkdirSync(path, { mode: 0o711 });
      if (config.logDirectory !== '') mkdirSync(config.logDirectory, { recursive: true, mode: 0o755 });
    },
    removeDirectories: (id) => rmSync(at(id).directory, { recursive: true, force: true }),
    makeNamespaces: (id, request) => makeNamespaces(spawner, at(id), request),
    releaseNamespaces: (id) => releaseNamespaces(at(id)),
    hasNetwork: ({ resources }) =>
      resources.namespaces.network !== undefined && isPinned(resources.namespaces.network),
    isWhole({ id, resources }) {
      const { namespaces, pause: holder } = resources;
      if (!existsSync(at(id).directory) || !Object.values(namespaces).every(isPinned)) return false;
      return holder === undefined || pause.alive(holder);
    },
    makeFiles(sandbox, hostname, plan) {
      const { id, config } = sandbox;
      const label = fileLabel(sandbox);
      const { hostname: name, hosts, resolvConf } = at(id);
      writeNameFiles(at(id), hostname, config);
      if (label !== undefined) {
        // It keeps its label when its text comes, with the addresses.
        writeFileSync(hosts, '', { mode: 0o644 });
        for (const path of [name, hosts, resolvConf]) setLabel(path, label);
      }
      const owner = { uid: plan.user?.uid.hostId ?? 0, gid: plan.user?.gid.hostId ?? 0 };
      if (!plan.hostIpc) mountShm(at(id), owner, label);
    },
    writeHosts: (id, hostname, ips) => writeHosts(at(id), hostname, ips),
    unmountShm: (id) => unmount(at(id).shm, { lazy: true }),
    startPause: (sandbox, _plan, signal) => pause.start(sandbox, at(sandbox.id), signal),
    stopPause: (sandbox) => pause.stop(sandbox),
    leftovers: () => readdirSync(sandboxesDirectory(run)),
  };
}
