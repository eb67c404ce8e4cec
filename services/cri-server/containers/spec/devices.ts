/** Device nodes and the rules that let a container use them. */
import { readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { Device } from '#contracts/cri/runtime_pb.ts';
import type { DeviceRule, SpecDevice } from '#contracts/oci/runtime.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { SpecInput } from './input.ts';

/** What a container may use: nodes to make, and rules for the device cgroup. */
export interface DeviceAccess {
  devices: SpecDevice[];
  rules: DeviceRule[];
}

/** Directories of /dev that hold no devices of their own, or belong to each container. */
const skippedDirectories = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev']);

/** The devices of a container. @throws SkiffError INVALID_ARGUMENT if one is not there or is no device. */
export function devicesOf({ config }: Pick<SpecInput, 'config'>): DeviceAccess {
  const context = config.linux?.securityContext;
  if (context?.privileged === true)
    return {
      devices: [...hostDevices('/dev'), ...config.devices.flatMap((one) => nodesOf(one))],
      rules: [{ allow: true, access: 'rwm' }],
    };
  const devices: SpecDevice[] = [];
  const rules: DeviceRule[] = [{ allow: false, access: 'rwm' }];
  for (const requested of config.devices) {
    const access = permissionsOf(requested);
    for (const node of nodesOf(requested)) {
      devices.push(node);
      rules.push({
        allow: true,
        type: node.type === 'b' ? 'b' : 'c',
        major: node.major,
        minor: node.minor,
        access,
      });
    }
  }
  return { devices, rules };
}

function permissionsOf({ permissions, hostPath }: Device): string {
  if (permissions === '') return 'rwm';
  if (/^[rwm]{1,3}$/.test(permissions)) return permissions;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `the device "${hostPath}" has permissions "${permissions}"; use some of r, w and m`,
  );
}

/** One node, or all below a directory such as /dev/snd. */
function nodesOf(requested: Device): SpecDevice[] {
  const { hostPath } = requested;
  const containerPath = requested.containerPath || hostPath;
  if (!isAbsolute(hostPath) || !isAbsolute(containerPath))
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `the device "${hostPath}" on "${containerPath}": paths must be absolute`,
    );
  let path: string;
  let stats: Stats;
  try {
    path = realpathSync(hostPath);
    stats = statSync(path);
  } catch (error) {
    throw wrapError(error, `Cannot pass on the device "${hostPath}"`);
  }
  if (stats.isDirectory())
    return hostDevices(path).map((node) => ({
      ...node,
      path: join(containerPath, node.path.slice(path.length)),
    }));
  const node = nodeOf(stats, containerPath);
  if (node === undefined) throw new SkiffError('INVALID_ARGUMENT', `"${hostPath}" is no device`);
  return [node];
}

function hostDevices(directory: string): SpecDevice[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return skippedDirectories.has(entry.name) ? [] : hostDevices(path);
    // The console of a container with a terminal is its own.
    if (entry.isSymbolicLink() || path === '/dev/console') return [];
    const stats = statSync(path, { throwIfNoEntry: false });
    const node = stats === undefined ? undefined : nodeOf(stats, path);
    return node === undefined ? [] : [node];
  });
}

function nodeOf(stats: Stats, path: string): SpecDevice | undefined {
  const type = stats.isBlockDevice() ? 'b' : stats.isCharacterDevice() ? 'c' : undefined;
  if (type === undefined) return undefined;
  // makedev(3), taken apart.
  const device = BigInt(stats.rdev);
  return {
    type,
    path,
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
    fileMode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
  };
}
