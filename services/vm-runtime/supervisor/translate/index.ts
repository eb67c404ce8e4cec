/**
 * Turns a container's config.json, which speaks of the host, into what the runtime in the guest is given and what
 * of the host must be shared for it:
 *
 *     config.json -> refuse (what a VM cannot do) -> mounts -> namespaces, resources -> GuestPlan
 *
 * Pure but for stat(2) of mount sources; the supervisor makes the shares and mounts that the plan names.
 */
import type { Hooks, ProcessSpec, RuntimeSpec, SpecMount, SpecResources } from '#contracts/oci/runtime.ts';
import { guestDeviceRules, guestDevices } from './devices.ts';
import { type GuestTmpfs, type HostShare, planMounts } from './mounts.ts';
import { guestNamespaces } from './namespaces.ts';
import { refuse } from './refuse.ts';

export type { GuestTmpfs, HostShare } from './mounts.ts';

/** What the translation must know of the pod. */
export interface PodFacts {
  /** Begins the names of the container's shares, so that two containers' never meet. */
  sharePrefix: string;
  /** Absolute; relative paths of config.json start here. */
  bundle: string;
  /** The guest's process of the container whose shim has this host process number; for a joined PID namespace. */
  guestPidOf(shimPid: number): number | undefined;
  /** Whether the guest has a PID namespace that the pod's containers share. */
  sharedPid: boolean;
  /** A file of the guest with the boot id that containers are to see; the kernel's own without. */
  bootIdFile?: string;
}

/** What is to be done for a container. */
export interface GuestPlan {
  /** For the runtime in the guest. */
  config: RuntimeSpec;
  /** What the host shares; the first is the root. */
  shares: HostShare[];
  /** File systems in the guest's memory that live as long as the pod. */
  tmpfs: GuestTmpfs[];
  /** Settings of the pod's namespaces, which are the guest's own. */
  sysctls: Record<string, string>;
}

/**
 * Plans a container.
 *
 * @throws SkiffError INVALID_ARGUMENT or UNIMPLEMENTED that names what a VM cannot do, and what to do instead.
 */
export function planContainer(spec: RuntimeSpec, pod: PodFacts): GuestPlan {
  refuse(spec);
  const { mounts, shares, tmpfs } = planMounts(spec, pod);
  const { sysctl, cgroupsPath: _, maskedPaths, readonlyPaths, ...linux } = spec.linux;
  const { hooks, hostname: __, process, ...rest } = spec;
  const config: RuntimeSpec = {
    ...rest,
    process: guestProcess(process),
    root: { ...spec.root, path: shares[0]?.guestPath ?? '' },
    mounts: [...mounts, ...bootIdMount(pod.bootIdFile)],
    ...guestHooks(hooks),
    // Annotations are the host's affair; some would tell the guest's runtime what to do.
    annotations: {},
    linux: {
      ...linux,
      namespaces: guestNamespaces(spec.linux.namespaces, pod),
      devices: guestDevices(spec.linux.devices ?? []),
      resources: guestResources(spec.linux.resources ?? {}),
      ...(maskedPaths === undefined ? {} : { maskedPaths }),
      ...(readonlyPaths === undefined ? {} : { readonlyPaths }),
    },
  };
  if (config.linux.rootfsPropagation === 'shared' || config.linux.rootfsPropagation === 'rshared')
    config.linux.rootfsPropagation = 'rslave';
  delete (config.linux as { mountLabel?: string }).mountLabel;
  return { config, shares, tmpfs, sysctls: sysctl ?? {} };
}

/** Clones of one template have one kernel's boot id; to what runs in them each is a machine of its own. */
function bootIdMount(file: string | undefined): SpecMount[] {
  if (file === undefined) return [];
  const destination = '/proc/sys/kernel/random/boot_id';
  return [{ destination, type: 'bind', source: file, options: ['bind', 'ro'] }];
}

/** Labels of the host's security modules mean nothing to the guest's kernel. */
export function guestProcess(process: ProcessSpec): ProcessSpec {
  const { apparmorProfile: _, selinuxLabel: __, ...rest } = process;
  return rest;
}

/** Hooks that run inside of the container are the guest's; the supervisor runs the others. */
function guestHooks(hooks: Hooks | undefined): { hooks?: Hooks } {
  const { startContainer } = hooks ?? {};
  return startContainer === undefined || startContainer.length === 0 ? {} : { hooks: { startContainer } };
}

/** Numbers of the host's processors and memory nodes mean nothing in the guest, and it has no huge pages. */
export function guestResources(resources: SpecResources): SpecResources {
  const { cpu, hugepageLimits: _, devices: __, unified, ...rest } = resources;
  const { cpus: ___, mems: ____, ...limits } = cpu ?? {};
  return {
    ...rest,
    ...(cpu === undefined ? {} : { cpu: limits }),
    ...(unified === undefined ? {} : { unified: withoutCpusets(unified) }),
    devices: guestDeviceRules(),
  };
}

function withoutCpusets(unified: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(unified).filter(([file]) => !/^(cpuset|hugetlb|io)\./.test(file)));
}
