/**
 * Mounts. What the host has is shared with the guest and bound there; what is a kernel's own (proc, sysfs, tmpfs)
 * is the guest's; memory that the pod's containers share is a tmpfs in the guest.
 */
import { createHash } from 'node:crypto';
import { realpathSync, type Stats, statfsSync, statSync } from 'node:fs';
import { isAbsolute, join, normalize } from 'node:path';
import type { RuntimeSpec, SpecMount } from '#contracts/oci/runtime.ts';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';
import { mountsBelow } from '#foundation/linux/mount.ts';
import { guestShareDirectory } from '../../storage/types.ts';
import { isGuestDevice } from './devices.ts';
import { cannot } from './refuse.ts';

/** A file or directory of the host that the guest is to see: an entry of the pod's share. */
export interface HostShare {
  name: string;
  source: string;
  readOnly: boolean | 'recursive';
  recursive: boolean;
  /** Shows what is mounted there later. */
  follows: boolean;
  /** Where the guest finds it. */
  guestPath: string;
}

/** A file system in the guest's memory, made once for the pod. */
export interface GuestTmpfs {
  guestPath: string;
  /** At most; 0 for the kernel's default. */
  bytes: number;
  mode: number;
  uid: number;
  gid: number;
}

/** What is needed of the pod. */
interface MountFacts {
  sharePrefix: string;
  bundle: string;
}

/** Types of file systems, by linux/magic.h. */
const TMPFS_MAGIC = 0x01021994;
const hostKernelTypes: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x62656570, // configfs
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0x6e736673, // nsfs: a namespace
  0xcafe4a11, // bpf
  0x1cd1, // devpts
]);
/** File systems that each kernel makes by itself. */
const guestTypes = new Set([
  'proc',
  'sysfs',
  'tmpfs',
  'devpts',
  'mqueue',
  'cgroup',
  'cgroup2',
  'devtmpfs',
  'ramfs',
]);
/** Where the pod's memory is in the guest. */
export const guestPodMemory = '/run/pod';

/** Plans all mounts; the first share is the root. @throws SkiffError for a mount that a VM cannot have. */
export function planMounts(
  spec: RuntimeSpec,
  facts: MountFacts,
): { mounts: SpecMount[]; shares: HostShare[]; tmpfs: GuestTmpfs[] } {
  const root = absolute(spec.root.path, facts.bundle);
  const shares: HostShare[] = [shareOf(facts, 'root', root, ['rbind'])];
  const tmpfs: GuestTmpfs[] = [];
  const mounts = spec.mounts.map((mount, index) => {
    const { type = '', options = [] } = mount;
    const bind = type === 'bind' || options.includes('bind') || options.includes('rbind');
    if (!bind) return kernelMount(mount);
    refuseOptions(mount);
    return bindMount(mount, index, facts, shares, tmpfs);
  });
  return { mounts, shares, tmpfs };
}

function kernelMount(mount: SpecMount): SpecMount {
  if (!guestTypes.has(mount.type ?? ''))
    throw cannot(`a mount of type "${mount.type ?? ''}" on ${mount.destination}`, "the device is the host's");
  return mount;
}

function refuseOptions({ destination, options = [], uidMappings = [], gidMappings = [] }: SpecMount): void {
  if (uidMappings.length + gidMappings.length > 0 || options.some((option) => /^r?idmap/.test(option)))
    throw cannot(`mapped ids on ${destination}`, 'virtiofs does not map them');
  if (options.includes('shared') || options.includes('rshared'))
    throw cannot(
      `bidirectional mount propagation on ${destination}`,
      "what it mounts is in the VM's kernel and cannot reach the host's",
    );
}

function bindMount(
  mount: SpecMount,
  index: number,
  facts: MountFacts,
  shares: HostShare[],
  tmpfs: GuestTmpfs[],
): SpecMount {
  const { destination, options = [] } = mount;
  const source = absolute(mount.source ?? '', facts.bundle);
  const status = statOf(source, destination);
  const memory = memoryOf(source, destination, status);
  if (memory !== undefined) {
    tmpfs.push(memory);
    return { ...mount, type: 'bind', source: memory.guestPath };
  }
  if (status.isCharacterDevice() || status.isBlockDevice()) return deviceMount(mount, source, status);
  refuseSource(source, destination, status);
  const share = shareOf(facts, `m${index}`, source, options);
  shares.push(share);
  return { ...mount, type: 'bind', source: share.guestPath, options: guestOptions(share, options) };
}

/**
 * The options in the guest. What is mounted below a share comes up there when it is reached, as read-only as what it is
 * reached by: so where that may be written to, the host alone refuses writes to the share itself.
 */
function guestOptions(share: HostShare, options: readonly string[]): string[] {
  const open = share.readOnly === true && share.recursive && (share.follows || hasMounts(share.source));
  const access = (option: string) => (option === 'rro' ? 'ro' : option === 'ro' && open ? 'rw' : option);
  return options.map(access);
}

function hasMounts(source: string): boolean {
  return mountsBelow(source).some(({ target }) => target !== source);
}

function shareOf(facts: MountFacts, what: string, source: string, options: readonly string[]): HostShare {
  const name = `${facts.sharePrefix}${what}`;
  return {
    name,
    source,
    readOnly: options.includes('rro') ? 'recursive' : options.includes('ro'),
    recursive: options.includes('rbind'),
    follows: options.includes('rslave') || options.includes('slave'),
    guestPath: `${guestShareDirectory}/${name}`,
  };
}

function statOf(source: string, destination: string): Stats {
  try {
    return statSync(source);
  } catch (error) {
    const why = errnoOf(error) === 'ENOENT' ? 'there is no such file or directory' : (error as Error).message;
    throw new SkiffError('INVALID_ARGUMENT', `cannot mount ${source} on ${destination}: ${why}`, {
      cause: error,
    });
  }
}

/**
 * Memory that a pod's containers share: /dev/shm, and the kubelet's emptyDir volumes of medium Memory. They live in
 * the guest, for shared mappings and locks between its processes, and count there.
 */
function memoryOf(source: string, destination: string, status: Stats): GuestTmpfs | undefined {
  if (!status.isDirectory()) return undefined;
  const emptyDir = /\/volumes\/kubernetes\.io~empty-dir\/[^/]+$/.test(source);
  if (normalize(destination) !== '/dev/shm' && !emptyDir) return undefined;
  const system = statfsSync(source);
  if (system.type !== TMPFS_MAGIC) return undefined;
  const name = createHash('sha256').update(source).digest('hex').slice(0, 16);
  const { mode, uid, gid } = status;
  return {
    guestPath: `${guestPodMemory}/${emptyDir ? name : 'shm'}`,
    bytes: system.blocks * system.bsize,
    mode: mode & 0o7777,
    uid,
    gid,
  };
}

function deviceMount(mount: SpecMount, source: string, status: Stats): SpecMount {
  const type = status.isBlockDevice() ? 'b' : 'c';
  // makedev(3): the low and high parts of both numbers are interleaved.
  const major = (status.rdev >> 8) & 0xfff;
  const minor = (status.rdev & 0xff) | ((status.rdev >> 12) & 0xfff00);
  if (!isGuestDevice({ type, major, minor }))
    throw cannot(`the device ${source} on ${mount.destination}`, "it is the host's");
  return { ...mount, type: 'bind', source: `/dev/${source.split('/').at(-1)}` };
}

/** What is a door to the host's kernel or programs opens nothing when it is seen through a share. */
function refuseSource(source: string, destination: string, status: Stats): void {
  if (status.isSocket()) throw cannot(`the socket ${source} on ${destination}`, 'its server is on the host');
  if (status.isFIFO()) throw cannot(`the FIFO ${source} on ${destination}`, 'its other end is on the host');
  // By its name, by what is mounted there, and by where its links lead (those of namespaces lead to no path at all).
  const opensKernel =
    isHostKernels(source) ||
    hostKernelTypes.has(statfsSync(source).type) ||
    isHostKernels(realpathSync(source));
  if (opensKernel) throw cannot(`${source} on ${destination}`, "it shows the host's kernel");
}

function isHostKernels(path: string): boolean {
  return /^\/(proc|sys|dev)(\/|$)/.test(path) && !path.startsWith('/dev/shm/');
}

function absolute(path: string, bundle: string): string {
  return normalize(isAbsolute(path) ? path : join(bundle, path)).replace(/(.)\/$/, '$1');
}
