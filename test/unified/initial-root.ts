/** The initial file system of the VM: busybox, the modules that it takes to see the host's root, and a script. */
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type ArchiveEntry, cpioArchive } from '#services/vm-runtime/guest-image/cpio.ts';
import { resolveModules } from '#services/vm-runtime/guest-image/modules.ts';

/** What goes into it. */
export interface InitialRootOptions {
  /** The directory of the kernel's modules on this machine. */
  modules: string;
  /** Where the command is started. */
  checkout: string;
  command: readonly string[];
  /** Path of Node; its directory comes first on PATH. */
  node: string;
  /** Printed before the command's exit status. */
  statusMark: string;
}

/** Makes the archive. */
export function initialRoot(options: InitialRootOptions): Buffer {
  const { order, files } = resolveModules(options.modules);
  const names = ['base', 'virtiofs', 'overlay', 'extra'].flatMap((group) => order.get(group) ?? []);
  const load = [...new Set(names)];
  const directories = ['bin', 'modules', 'proc', 'sys', 'dev', 'host', 'memory', 'root'];
  const entries: ArchiveEntry[] = [
    ...directories.map((path) => ({ kind: 'directory', path }) as const),
    { kind: 'file', path: 'bin/busybox', mode: 0o755, content: readFileSync('/bin/busybox') },
    ...files
      .filter((path) => load.includes(basename(path)))
      .map(
        (path) => ({ kind: 'file', path: `modules/${basename(path)}`, content: readFileSync(path) }) as const,
      ),
    { kind: 'file', path: 'job', mode: 0o755, content: Buffer.from(job(options)) },
    { kind: 'file', path: 'init', mode: 0o755, content: Buffer.from(init(load, options)) },
  ];
  return cpioArchive(entries);
}

/** Mounts the host's root beneath memory, with what tests write in (roots of their own, overlays) in memory of its own. */
function init(modules: readonly string[], { checkout, modules: tree }: InitialRootOptions): string {
  return `#!/bin/busybox sh
set -e
mount() { busybox mount "$@"; }
mkdir() { busybox mkdir -p "$@"; }
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in ${modules.join(' ')}; do busybox insmod /modules/$module; done
mount -t virtiofs -o ro root /host
mount -t tmpfs -o size=3g tmpfs /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root
cd /root
mount -t proc proc proc
mount -t sysfs sys sys
mount -t devtmpfs dev dev
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs shm dev/shm
mount -t cgroup2 cgroup2 sys/fs/cgroup
for place in run tmp var/lib/containerd usr/lib/modules; do mkdir $place; mount -t tmpfs $place $place; done
mkdir .${checkout} usr/lib/modules/${basename(tree)}
mount --bind /host${checkout} .${checkout}
mount --bind /host${tree} usr/lib/modules/${basename(tree)}
busybox cp /job run/job
exec busybox switch_root /root /bin/sh /run/job
`;
}

/** The machine gets an address and a default route, as any has; they lead nowhere. */
function job({ checkout, command, node, statusMark }: InitialRootOptions): string {
  return `export PATH=${quoted(dirname(node))}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root NO_COLOR=1
mount --make-rshared /
ip link set lo up
ip link add uplink type veth peer name far
ip address add 192.0.2.2/24 dev uplink
ip link set far up
ip link set uplink up
ip route add default via 192.0.2.1
hostname unified
cd ${quoted(checkout)}
${command.map(quoted).join(' ')} 2>&1
echo ${quoted(statusMark)}$?
sync
echo b >/proc/sysrq-trigger
sleep 60
`;
}

/** A word of a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
