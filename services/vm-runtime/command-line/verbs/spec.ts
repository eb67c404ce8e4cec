/** `spec`: writes an example config.json. */
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ociVersion, type RuntimeSpec, type SpecMount } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { parseArguments, values } from '../arguments.ts';
import type { Context } from '../context.ts';

const capabilities = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];

const mount = (destination: string, type: string, source: string, ...options: string[]): SpecMount => ({
  destination,
  type,
  source,
  ...(options.length === 0 ? {} : { options }),
});

/** A shell on a terminal in the bundle's `rootfs`. */
export function exampleSpec(): RuntimeSpec {
  return {
    ociVersion,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'skiff-vm',
    mounts: [
      mount('/proc', 'proc', 'proc'),
      mount('/dev', 'tmpfs', 'tmpfs', 'nosuid', 'strictatime', 'mode=755', 'size=65536k'),
      mount(
        '/dev/pts',
        'devpts',
        'devpts',
        'nosuid',
        'noexec',
        'newinstance',
        'ptmxmode=0666',
        'mode=0620',
        'gid=5',
      ),
      mount('/dev/shm', 'tmpfs', 'shm', 'nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'),
      mount('/dev/mqueue', 'mqueue', 'mqueue', 'nosuid', 'noexec', 'nodev'),
      mount('/sys', 'sysfs', 'sysfs', 'nosuid', 'noexec', 'nodev', 'ro'),
      mount('/sys/fs/cgroup', 'cgroup', 'cgroup', 'nosuid', 'noexec', 'nodev', 'relatime', 'ro'),
    ],
    linux: {
      resources: { devices: [{ allow: false, access: 'rwm' }] },
      namespaces: [{ type: 'pid' }, { type: 'network' }, { type: 'ipc' }, { type: 'uts' }, { type: 'mount' }],
      maskedPaths: ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const { options } = parseArguments(args, values('bundle,b'), true);
  const path = join(options.value('bundle') ?? '.', 'config.json');
  if (statSync(path, { throwIfNoEntry: false }) !== undefined)
    throw new SkiffError('ALREADY_EXISTS', `${path} exists already; remove it first`);
  writeFileSync(path, `${JSON.stringify(exampleSpec(), null, 2)}\n`);
  void context;
}
