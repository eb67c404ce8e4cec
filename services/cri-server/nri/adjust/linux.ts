/** What a plugin changes of the Linux part of a spec, and of its mounts. */
import {
  Field,
  type LinuxContainerAdjustment,
  type LinuxSeccomp,
  type Mount,
} from '#contracts/nri/nri_pb.ts';
import type {
  LinuxSpec,
  SeccompAction,
  SeccompSpec,
  SpecDevice,
  SpecMount,
  SpecNamespace,
} from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Claims } from './claims.ts';
import { adjustMap, removedKey } from './process.ts';
import { adjustResources } from './resources.ts';

/** @throws SkiffError UNIMPLEMENTED for what this node does not set. */
export function adjustLinux(
  linux: LinuxSpec,
  wanted: LinuxContainerAdjustment,
  claims: Claims,
  swapLimits: boolean,
): LinuxSpec {
  refuseUnknown(wanted);
  const result: LinuxSpec = { ...adjustDevices(linux, wanted.devices, claims) };
  result.namespaces = namespacesOf(linux.namespaces, wanted.namespaces, claims);
  if (Object.keys(wanted.sysctl).length > 0)
    result.sysctl = adjustMap(linux.sysctl ?? {}, wanted.sysctl, claims, Field.Sysctl);
  if (wanted.resources !== undefined)
    result.resources = adjustResources(result.resources ?? {}, wanted.resources, claims, swapLimits);
  if (wanted.cgroupsPath !== '') {
    claims.take(Field.CgroupsPath);
    result.cgroupsPath = wanted.cgroupsPath;
  }
  if (wanted.seccompPolicy !== undefined) {
    claims.take(Field.SeccompPolicy);
    result.seccomp = seccompOf(wanted.seccompPolicy);
  }
  const netDevices = netDevicesOf(linux.netDevices ?? {}, wanted.netDevices, claims);
  if (Object.keys(netDevices).length > 0) result.netDevices = netDevices;
  else delete result.netDevices;
  return result;
}

/**
 * What no runtime here does: memory policies came with version 1.3 of the OCI specification, which crun and runc of
 * Debian 12 do not know and would pass over in silence; RDT takes a mount of resctrl and a processor that has it.
 */
function refuseUnknown({ rdt, memoryPolicy }: LinuxContainerAdjustment): void {
  const name = rdt !== undefined ? 'rdt' : memoryPolicy !== undefined ? 'memoryPolicy' : undefined;
  if (name !== undefined)
    throw new SkiffError(
      'UNIMPLEMENTED',
      `an NRI plugin sets ${name}: this node does not set that; turn it off in the plugin`,
    );
}

function netDevicesOf(
  old: NonNullable<LinuxSpec['netDevices']>,
  wanted: LinuxContainerAdjustment['netDevices'],
  claims: Claims,
): NonNullable<LinuxSpec['netDevices']> {
  const result = { ...old };
  for (const [key, { name }] of Object.entries(wanted)) {
    const removed = removedKey(key);
    if (removed !== undefined) {
      claims.release(Field.LinuxNetDevices, removed);
      delete result[removed];
      continue;
    }
    claims.take(Field.LinuxNetDevices, key);
    result[key] = name === '' ? {} : { name };
  }
  return result;
}

function adjustDevices(
  linux: LinuxSpec,
  wanted: LinuxContainerAdjustment['devices'],
  claims: Claims,
): LinuxSpec {
  if (wanted.length === 0) return linux;
  const gone = new Set(wanted.map(({ path }) => removedKey(path) ?? path));
  for (const { path } of wanted) {
    const removed = removedKey(path);
    if (removed !== undefined) claims.release(Field.Devices, removed);
  }
  const added = wanted.filter(({ path }) => removedKey(path) === undefined);
  for (const { path } of added) claims.take(Field.Devices, path);
  return {
    ...linux,
    devices: [...(linux.devices ?? []).filter(({ path }) => !gone.has(path)), ...added.map(deviceOf)],
    resources: {
      ...linux.resources,
      devices: [
        ...(linux.resources?.devices ?? []),
        ...added.map(({ type, major, minor, fileMode }) => ({
          allow: true,
          type: type === 'b' ? ('b' as const) : ('c' as const),
          major: Number(major),
          minor: Number(minor),
          access: accessOf(fileMode),
        })),
      ],
    },
  };
}

function deviceOf({
  path,
  type,
  major,
  minor,
  fileMode,
  uid,
  gid,
}: LinuxContainerAdjustment['devices'][number]): SpecDevice {
  return {
    path,
    type: type === 'b' || type === 'p' || type === 'u' ? type : 'c',
    major: Number(major),
    minor: Number(minor),
    ...(fileMode === undefined ? {} : { fileMode: fileMode & 0o7777 }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
}

/** A device that nobody may read by its mode is not readable by the device cgroup either. */
function accessOf(fileMode: number | undefined): string {
  if (fileMode === undefined) return 'rwm';
  return `${fileMode & 0o444 ? 'r' : ''}${fileMode & 0o222 ? 'w' : ''}m`;
}

const namespaceKinds: readonly SpecNamespace[] = ['pid', 'network', 'mount', 'ipc', 'uts', 'user', 'cgroup'];

function namespacesOf(
  old: LinuxSpec['namespaces'],
  wanted: LinuxContainerAdjustment['namespaces'],
  claims: Claims,
): LinuxSpec['namespaces'] {
  let result = old;
  for (const { type, path } of wanted) {
    const name = removedKey(type) ?? type;
    const kind = namespaceKinds.find((one) => one === name);
    if (kind === undefined)
      throw new SkiffError('INVALID_ARGUMENT', `an NRI plugin names an unknown kind of namespace: "${type}"`);
    claims.take(Field.Namespace, kind);
    result = result.filter((one) => one.type !== kind);
    if (removedKey(type) === undefined)
      result = [...result, { type: kind, ...(path === '' ? {} : { path }) }];
  }
  return result;
}

function seccompOf(policy: LinuxSeccomp): SeccompSpec {
  return {
    defaultAction: policy.defaultAction as SeccompAction,
    ...(policy.defaultErrno === undefined ? {} : { defaultErrnoRet: policy.defaultErrno }),
    architectures: policy.architectures,
    flags: policy.flags,
    ...(policy.listenerPath === '' ? {} : { listenerPath: policy.listenerPath }),
    ...(policy.listenerMetadata === '' ? {} : { listenerMetadata: policy.listenerMetadata }),
    syscalls: policy.syscalls.map(({ names, action, errnoRet, args }) => ({
      names,
      action: action as SeccompAction,
      ...(errnoRet === undefined ? {} : { errnoRet }),
      args: args.map(({ index, value, valueTwo, op }) => ({
        index,
        value: Number(value),
        valueTwo: Number(valueTwo),
        op,
      })),
    })),
  };
}

/** Adds and removes mounts; parents come before what is mounted below them. */
export function adjustMounts(old: SpecMount[], wanted: readonly Mount[], claims: Claims): SpecMount[] {
  if (wanted.length === 0) return old;
  const gone = new Set(wanted.map(({ destination }) => removedKey(destination) ?? destination));
  for (const { destination } of wanted) {
    const removed = removedKey(destination);
    if (removed !== undefined) claims.release(Field.Mounts, removed);
  }
  const added = wanted.filter(({ destination }) => removedKey(destination) === undefined);
  for (const { destination } of added) claims.take(Field.Mounts, destination);
  const all = [
    ...old.filter(({ destination }) => !gone.has(destination)),
    ...added.map(({ destination, type, source, options }) => ({ destination, type, source, options })),
  ];
  return added.length === 0 ? all : all.sort((a, b) => depth(a.destination) - depth(b.destination));
}

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}

/** A mount can only propagate as far as the root of its container does. */
export function propagationOf(
  old: LinuxSpec['rootfsPropagation'],
  mounts: readonly Mount[],
): LinuxSpec['rootfsPropagation'] {
  const options = new Set(mounts.flatMap((mount) => mount.options));
  if (options.has('rshared') || options.has('shared')) return 'rshared';
  return (options.has('rslave') || options.has('slave')) && old !== 'rshared' ? 'rslave' : old;
}
