/** What a pod VM is made of, as the first container's config.json has it, and its directory. */
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { errnoOf } from '#foundation/base/errors.ts';
import { nowNanos } from '#foundation/base/time.ts';
import { ownCgroupParent, type PodPaths, podKey, podPaths, podsDirectory } from '../supervisor/paths.ts';
import { type PodConfig, saveRecord } from '../supervisor/records.ts';

/** A pod as a caller wants it; sizes in bytes. */
export type PodWish = Omit<PodConfig, 'version' | 'root' | 'createdAt'>;

const MiB = 1024 * 1024;
/** Bytes of a VM whose pod has no memory limit. Memory that the guest does not touch costs nothing. */
export const defaultMemory = 512 * MiB;
/** Bytes that the guest's kernel and agent take beside what containers may use. */
export const guestOverhead = 96 * MiB;

/** The names by which containers say whose they are: CRI-O's, then containerd's. */
const annotationSets = [
  { type: 'io.kubernetes.cri-o.ContainerType', sandbox: 'io.kubernetes.cri-o.SandboxID' },
  { type: 'io.kubernetes.cri.container-type', sandbox: 'io.kubernetes.cri.sandbox-id' },
];

/** The pod that a container belongs to: that of its annotations, else one of its own. */
export function podIdOf(id: string, annotations: Readonly<Record<string, string>>): string {
  for (const { type, sandbox } of annotationSets) {
    if (annotations[type] === 'sandbox') return id;
    const named = annotations[sandbox];
    if (annotations[type] === 'container' && named !== undefined && named !== '') return named;
  }
  return id;
}

/** The pod that the container `id` makes. */
export function podWish(id: string, spec: RuntimeSpec): PodWish {
  const { linux, annotations = {} } = spec;
  const podId = podIdOf(id, annotations);
  const namespace = (kind: string) => linux.namespaces.find(({ type }) => type === kind)?.path ?? '';
  const netns = namespace('network');
  const hooks = (spec.hooks?.prestart?.length ?? 0) + (spec.hooks?.createRuntime?.length ?? 0);
  const cgroup = cgroupOf(linux.cgroupsPath, podId);
  return {
    id: podId,
    hostname: spec.hostname ?? '',
    ...(netns === '' ? {} : { netns }),
    ...sizeOf(spec),
    ...(cgroup === undefined ? {} : { cgroup }),
    sysctls: linux.sysctl ?? {},
    sharedPid: namespace('pid') !== '',
    endsWithLast: true,
    deferred: hooks > 0,
  };
}

/** Size of the VM: the pod's limits, where its annotations tell them, else the container's. */
function sizeOf({ linux, annotations = {} }: RuntimeSpec): { vcpus: number; memoryBytes: number } {
  const number = (name: string) => Number(annotations[`io.kubernetes.cri.sandbox-${name}`] ?? 0) || 0;
  const { memory, cpu } = linux.resources ?? {};
  return vmSize({
    memory: number('memory') || memory?.limit || 0,
    quota: number('cpu-quota') || cpu?.quota || 0,
    period: number('cpu-period') || cpu?.period || 0,
    overhead: guestOverhead,
  });
}

/** A VM for these limits: whole processors, at least one; whole MiB. 0 is no limit. Microseconds, bytes. */
export function vmSize(limits: { memory: number; quota: number; period: number; overhead: number }): {
  vcpus: number;
  memoryBytes: number;
} {
  const wanted = limits.memory > 0 ? limits.memory + limits.overhead : defaultMemory;
  const memoryBytes = Math.max(192 * MiB, Math.ceil(wanted / MiB) * MiB);
  const vcpus = limits.quota > 0 ? Math.ceil(limits.quota / (limits.period || 100_000)) : 1;
  return { vcpus: Math.min(Math.max(vcpus, 1), 64), memoryBytes };
}

/** A group beside the container's own, below the same parent. systemd's names are not paths. */
function cgroupOf(path: string | undefined, podId: string): string | undefined {
  if (path === undefined || path === '' || path.includes(':')) return `${ownCgroupParent}/${podKey(podId)}`;
  const parent = path.startsWith('/') ? path.slice(0, path.lastIndexOf('/')) : '';
  return `${parent}/skiff-vm-${podKey(podId)}`;
}

/** Makes the pod's directory; one that is there already is success. It appears in one step. */
export function makePod(root: string, wish: PodWish): PodPaths {
  const pod = podPaths(root, wish.id);
  const parent = podsDirectory(root);
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const fresh = mkdtempSync(join(parent, 'new-'));
  try {
    saveRecord(join(fresh, 'pod.json'), {
      version: 1,
      ...wish,
      root,
      createdAt: String(nowNanos()),
    } as PodConfig);
    renameSync(fresh, pod.directory);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error;
  }
  return pod;
}
