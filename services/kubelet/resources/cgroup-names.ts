/** Names of pod cgroups with both drivers: plain paths (cgroupfs) and systemd slices. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { type QosClass, qosOf } from './qos.ts';

/** How cgroups are named and who makes them. */
export type CgroupDriver = 'cgroupfs' | 'systemd';

/** A cgroup as its path's plain parts: `['kubepods', 'burstable', 'pod1234']`. */
export type CgroupName = readonly string[];

/** The parts of the QoS level's cgroup; Guaranteed pods stand directly below the root. */
export function qosCgroup(root: CgroupName, qos: QosClass): CgroupName {
  return qos === 'Guaranteed' ? root : [...root, qos.toLowerCase()];
}

/** The parts of a pod's cgroup. */
export function podCgroup(root: CgroupName, pod: Pod): CgroupName {
  return [...qosCgroup(root, qosOf(pod)), `pod${pod.metadata.uid ?? ''}`];
}

/**
 * The path below a hierarchy's mount point: `/kubepods/burstable/podUID`, or for systemd
 * `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice` with the UID's dashes as underscores,
 * since a dash in a slice's name means nesting (systemd.slice(5)).
 */
export function cgroupPath(name: CgroupName, driver: CgroupDriver): string {
  if (driver === 'cgroupfs') return `/${name.join('/')}`;
  const escaped = name.map((part) => part.replaceAll('-', '_'));
  return `/${escaped.map((_, index) => `${escaped.slice(0, index + 1).join('-')}.slice`).join('/')}`;
}

/** What the CRI's `cgroup_parent` must be: the whole path for cgroupfs, the slice's name alone for systemd. */
export function criCgroupParent(name: CgroupName, driver: CgroupDriver): string {
  const path = cgroupPath(name, driver);
  return driver === 'cgroupfs' ? path : (path.split('/').pop() ?? '');
}

/** The pod's UID from the last part of a cgroup's path; undefined if it is not a pod's. */
export function podUidFrom(directory: string, driver: CgroupDriver): string | undefined {
  if (driver === 'cgroupfs') return /^pod([^/]+)$/.exec(directory)?.[1];
  return /-pod([^/]+)\.slice$/.exec(directory)?.[1]?.replaceAll('_', '-');
}
