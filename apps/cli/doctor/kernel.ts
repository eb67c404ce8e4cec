/** Checks of the kernel: version, namespaces, cgroups, seccomp, KVM. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { listMounts } from '#foundation/linux/mount.ts';
import { broken, type Check, type Finding, fine, lacking } from './check.ts';

/** The oldest kernel with what Skiff calls without a fallback (clone3, openat2, pidfd): 5.6. */
const oldest = [5, 6] as const;

export const checkKernel: Check = async () => {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const old = major < oldest[0] || (major === oldest[0] && minor < oldest[1]);
  return [
    old ? broken('kernel', release(), `use Linux ${oldest.join('.')} or newer`) : fine('kernel', release()),
  ];
};

export const checkRoot: Check = async () => {
  const root = process.getuid?.() === 0;
  return [
    root
      ? fine('user', 'root')
      : broken('user', `uid ${process.getuid?.()}`, 'run as root: namespaces, mounts and cgroups need it'),
  ];
};

export const checkNamespaces: Check = async () => {
  const wanted = ['net', 'ipc', 'uts', 'pid', 'mnt', 'user', 'cgroup'];
  const absent = wanted.filter((name) => !existsSync(`/proc/self/ns/${name}`));
  if (absent.length === 0) return [fine('namespaces', wanted.join(' '))];
  const essential = absent.some((name) => name !== 'user' && name !== 'cgroup');
  const remedy = 'use a kernel with CONFIG_NAMESPACES and its kinds';
  return [(essential ? broken : lacking)('namespaces', `not there: ${absent.join(' ')}`, remedy)];
};

export const checkCgroups: Check = async () => {
  const mounts = listMounts().filter((entry) => entry.type === 'cgroup' || entry.type === 'cgroup2');
  if (mounts.length === 0) return [broken('cgroups', 'none mounted', 'mount -t cgroup2 none /sys/fs/cgroup')];
  if (mounts.every((entry) => entry.type === 'cgroup2')) return [await unifiedFinding()];
  const controllers = mounts.flatMap((entry) =>
    entry.type === 'cgroup' ? [entry.target.split('/').at(-1)] : [],
  );
  const needed = ['cpu', 'memory', 'pids'].filter((name) => !controllers.join(',').split(',').includes(name));
  const hybrid = mounts.some((entry) => entry.type === 'cgroup2') ? 'v1, hybrid' : 'v1';
  if (needed.length > 0) {
    return [
      broken('cgroups', `${hybrid}, without ${needed.join(' ')}`, 'enable these controllers in the kernel'),
    ];
  }
  return [fine('cgroups', `${hybrid}: ${controllers.join(' ')}`)];
};

async function unifiedFinding(): Promise<Finding> {
  const controllers = readFileSync('/sys/fs/cgroup/cgroup.controllers', 'utf8').trim();
  const absent = ['cpu', 'memory', 'pids'].filter((name) => !controllers.split(' ').includes(name));
  if (absent.length === 0) return fine('cgroups', `v2: ${controllers}`);
  return broken('cgroups', `v2, without ${absent.join(' ')}`, 'delegate these controllers to this cgroup');
}

export const checkSeccomp: Check = async () => {
  const there = /^Seccomp:/m.test(readFileSync('/proc/self/status', 'utf8'));
  const remedy = 'pods with seccompProfile RuntimeDefault need CONFIG_SECCOMP_FILTER';
  return [there ? fine('seccomp', 'filters') : lacking('seccomp', 'not in this kernel', remedy)];
};

export const checkKvm: Check = async () => {
  const slow = 'VM pods run under software emulation, several times slower';
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return [fine('kvm', '/dev/kvm opens (a test boot decides whether VM pods use it)')];
  } catch {
    return [lacking('kvm', '/dev/kvm does not open', `enable virtualization, or accept that ${slow}`)];
  }
};

export const checkSecurityModules: Check = async () => {
  const path = '/sys/kernel/security/lsm';
  const modules = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
  const which = ['apparmor', 'selinux'].filter((name) => modules.includes(name));
  if (which.length > 0) return [fine('lsm', which.join(' '))];
  return [
    lacking('lsm', 'neither AppArmor nor SELinux', 'nothing to do: pods that ask for a profile are refused'),
  ];
};
