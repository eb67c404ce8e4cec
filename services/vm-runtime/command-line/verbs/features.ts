/** `features`: https://github.com/opencontainers/runtime-spec/blob/main/features.md */
import { ociVersion } from '#contracts/oci/runtime.ts';
import type { Context } from '../context.ts';

// biome-ignore format: lists read better in few lines
const mountOptions = [
  'async', 'atime', 'bind', 'defaults', 'dev', 'diratime', 'dirsync', 'exec', 'noatime', 'nodev', 'nodiratime', 'noexec',
  'nosuid', 'private', 'rbind', 'relatime', 'remount', 'ro', 'rprivate', 'rro', 'rslave', 'rw', 'slave', 'strictatime', 'suid', 'sync',
];

export async function run(context: Context): Promise<undefined> {
  const features = {
    ociVersionMin: '1.0.0',
    ociVersionMax: ociVersion,
    hooks: ['prestart', 'createRuntime', 'startContainer', 'poststart', 'poststop'],
    mountOptions,
    linux: {
      namespaces: ['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts'],
      cgroup: { v1: false, v2: true, systemd: false, systemdUser: false },
      seccomp: { enabled: true },
      apparmor: { enabled: false },
      selinux: { enabled: false },
    },
    annotations: { 'org.skiff.runtime.vm': 'true' },
  };
  context.print(`${JSON.stringify(features, null, 2)}\n`);
}
