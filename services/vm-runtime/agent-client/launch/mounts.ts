/** Mounts of a configuration as steps; options as mount(8) has them. */
import type { SpecDevice, SpecMount } from '#contracts/oci/runtime.ts';
import { isEmpty } from './known.ts';
import { NotForLaunch, type Step } from './steps.ts';

/** MS_* of mount(2). */
const MS_RDONLY = 1;
const MS_BIND = 4096;
const MS_REC = 16384;
const setters: Readonly<Record<string, number>> = {
  ...{ ro: MS_RDONLY, nosuid: 2, nodev: 4, noexec: 8, sync: 16, dirsync: 128, nosymfollow: 256 },
  ...{ noatime: 1024, nodiratime: 2048, bind: MS_BIND, rbind: MS_BIND | MS_REC, relatime: 1 << 21 },
  ...{ strictatime: 1 << 24, lazytime: 1 << 25, defaults: 0 },
};
const clearers: Readonly<Record<string, number>> = { rw: MS_RDONLY, suid: 2, dev: 4, exec: 8, async: 16 };
const spreads: Readonly<Record<string, number>> = {
  ...{ unbindable: 1 << 17, private: 1 << 18, slave: 1 << 19, shared: 1 << 20 },
  ...{ runbindable: (1 << 17) | MS_REC, rprivate: (1 << 18) | MS_REC, rslave: (1 << 19) | MS_REC },
  rshared: (1 << 20) | MS_REC,
};

/** What file systems take beside flags, of those that containers are given. */
const ownOptions: Readonly<Record<string, RegExp>> = {
  tmpfs: /^(size|mode|uid|gid|nr_inodes|nr_blocks)=\w+%?$/,
  devpts: /^(newinstance|(ptmxmode|mode|uid|gid|max)=\d+)$/,
  proc: /^(hidepid|gid|subset)=\w+$/,
  sysfs: /^$/,
  mqueue: /^$/,
  cgroup: /^$/,
  cgroup2: /^$/,
};

/** How the guest's mounts spread to the container: not at all unless it wants to see them. */
export function propagationStep(wanted: string | undefined): Step {
  if (wanted === 'shared' || wanted === 'rshared' || wanted === 'unbindable' || wanted === 'runbindable')
    throw new NotForLaunch(`the propagation ${wanted}`);
  const flags = spreads[wanted ?? 'rprivate'];
  if (flags === undefined) throw new NotForLaunch(`the propagation ${wanted}`);
  return ['spread', flags | MS_REC];
}

/** Options by what they are: flags of mount(2), those that are expressly not wanted, propagation, and all others. */
export function splitOptions(type: string, options: readonly string[]) {
  const data: string[] = [];
  let [set, cleared, spread] = [type === 'bind' ? MS_BIND : 0, 0, 0];
  for (const option of options) {
    const [flag, clearer] = [setters[option], clearers[option]];
    if (flag !== undefined) set |= flag;
    else if (clearer !== undefined) {
      set &= ~clearer;
      cleared |= clearer;
    } else if (spreads[option] !== undefined) spread |= spreads[option];
    else data.push(option);
  }
  return { set, cleared, spread, data };
}

/** A mount. @throws NotForLaunch for options that are not known here. */
export function mountStep(mount: SpecMount): Step {
  const { destination, type = '', source = '', options = [], ...others } = mount;
  if (!isEmpty(others) || !destination.startsWith('/')) throw new NotForLaunch(`the mount ${destination}`);
  const { set, cleared, spread, data } = splitOptions(type, options);
  if ((set & MS_BIND) !== 0) {
    if (data.length > 0 || destination === '/dev')
      throw new NotForLaunch(`the mount ${destination}: ${data}`);
    const flags = set & (MS_BIND | MS_REC);
    return ['mount', source, destination, '', flags, set & ~flags, cleared, spread, ''];
  }
  const known = ownOptions[type];
  const foreign = known === undefined || data.some((option) => !known.test(option));
  // Launch would have to make devices in what is read-only already.
  if (foreign || (destination === '/dev' && (set & MS_RDONLY) !== 0))
    throw new NotForLaunch(`the mount ${destination} of type ${type}: ${data}`);
  const kind = type === 'cgroup' ? 'cgroup2' : type;
  const name = source === '' || type === 'cgroup' ? kind : source;
  return ['mount', name, destination, kind, set, 0, 0, spread, data.join(',')];
}

/** config-linux.md, "Default Devices". */
const defaultDevices: readonly SpecDevice[] = [
  { type: 'c', path: '/dev/null', major: 1, minor: 3 },
  { type: 'c', path: '/dev/zero', major: 1, minor: 5 },
  { type: 'c', path: '/dev/full', major: 1, minor: 7 },
  { type: 'c', path: '/dev/random', major: 1, minor: 8 },
  { type: 'c', path: '/dev/urandom', major: 1, minor: 9 },
  { type: 'c', path: '/dev/tty', major: 5, minor: 0 },
];
/** S_IF* of inode(7). */
const deviceKinds = { c: 0o020000, u: 0o020000, b: 0o060000, p: 0o010000 } as const;

/** config-linux.md, "Dev symbolic links"; and the terminals' own. */
const deviceLinks: readonly Step[] = [
  ['link', '/dev/fd', '/proc/self/fd'],
  ['link', '/dev/stdin', '/proc/self/fd/0'],
  ['link', '/dev/stdout', '/proc/self/fd/1'],
  ['link', '/dev/stderr', '/proc/self/fd/2'],
  ['link', '/dev/core', '/proc/kcore'],
  ['link', '/dev/ptmx', 'pts/ptmx'],
];

/** Devices, those that every container has first. */
export function deviceSteps(devices: readonly SpecDevice[]): Step[] {
  const wanted = new Map([...defaultDevices, ...devices].map((device) => [device.path, device]));
  return [
    ...[...wanted.values()].map(({ type, path, major = 0, minor = 0, fileMode, uid = 0, gid = 0 }): Step => {
      if (!path.startsWith('/')) throw new NotForLaunch(`the device ${path}`);
      return ['device', path, deviceKinds[type] | ((fileMode ?? 0o666) & 0o7777), major, minor, uid, gid];
    }),
    ...deviceLinks,
  ];
}
