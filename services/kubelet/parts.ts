/** Makes the parts beside the core from the configuration and the machine, and joins them. */

import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Alarm } from '#foundation/base/alarm.ts';
import { Counter } from '#foundation/base/metrics.ts';
import { type CgroupLayout, cgroupLayout } from '#foundation/linux/cgroups.ts';
import { type AdmissionDeps, createAdmission } from './admission.ts';
import { getNode } from './api/register-node.ts';
import type { KubeletConfiguration } from './configuration/defaults.ts';
import { durationMs } from './configuration/duration.ts';
import { createContainerConfigBuilder } from './container-config/builder.ts';
import { findMaskedPaths } from './container-config/proc-mount.ts';
import { namespaceOptions } from './container-config/security.ts';
import { createUserNamespaces } from './container-config/user-namespaces.ts';
import { userRange } from './container-config/user-range.ts';
import type { CoreServices, Parts } from './core-deps.ts';
import { type Givers, makeGivers } from './givers.ts';
import { createHookRunner } from './hooks/hooks.ts';
import type { KubeletDeps } from './kubelet.ts';
import { podsLimit } from './node/capacity.ts';
import { checkKernel } from './node/kernel-defaults.ts';
import { type Machine, readMachine } from './node/machine.ts';
import { createNodeInfo, type NodeFactsView } from './node/node-info.ts';
import type { Pressure } from './ports.ts';
import { makeRoom } from './preemption/make-room.ts';
import { createAttempt } from './probes/attempt.ts';
import { createProber } from './probes/handlers.ts';
import { createProbeManager } from './probes/probes.ts';
import { createAllocating } from './resources/allocating.ts';
import { type CgroupDriver, type CgroupName, cgroupPath, podCgroup } from './resources/cgroup-names.ts';
import { createGates } from './resources/gates.ts';
import { linuxResources, type ResourceSettings } from './resources/linux-resources.ts';
import { createPodResources } from './resources/pod-resources.ts';
import { limitReservedGroups } from './resources/reserved-groups.ts';
import { createVolumeResolver } from './volumes/claims.ts';
import { contentPlugins } from './volumes/content.ts';
import { createAttachments } from './volumes/csi/attachments.ts';
import { csiPlugin } from './volumes/csi/csi.ts';
import { type CsiDrivers, createCsiDrivers } from './volumes/csi/drivers.ts';
import { emptyDirPlugin } from './volumes/empty-dir.ts';
import { hostPathPlugin } from './volumes/host-path.ts';
import { imagePlugin } from './volumes/image.ts';
import { localPlugin } from './volumes/local.ts';
import { nfsPlugin } from './volumes/nfs.ts';
import type { ObjectSource } from './volumes/plugin.ts';
import { createTokens } from './volumes/tokens.ts';
import { createVolumeManager } from './volumes/volumes.ts';

/** The parts, and the facts of node and cgroups that the keepers need too. */
export interface KubeletParts extends Omit<Parts, keyof Givers>, Givers {
  node: NodeFactsView;
  machine: Machine;
  layout: CgroupLayout;
  csi: CsiDrivers;
  /** Paths of the cgroup above all pods, and of one pod's. */
  podsCgroup(): string;
  podCgroup(pod: Pod): string;
}

/** What is known only once the runtime answered, or the keepers were made. */
export interface LateFacts {
  driver: CgroupDriver;
  pressure: () => Pressure;
  /** Why the node takes no more pods; undefined while it does. */
  shuttingDown: () => string | undefined;
  /** Rings when the node's status is to be reported at once. */
  nodeAlarm: Alarm;
}

/** What the makers below share. */
interface Making extends Givers {
  deps: KubeletDeps;
  core: CoreServices;
  late: LateFacts;
  machine: Machine;
  node: NodeFactsView;
  layout: CgroupLayout;
  /** The cgroup above all pods. */
  root: CgroupName;
  settings: ResourceSettings;
  objects: ObjectSource;
  csi: CsiDrivers;
}

/** Makes everything beside the core. */
export function makeParts(deps: KubeletDeps, core: CoreServices, late: LateFacts): KubeletParts {
  const { configuration, clock, paths, api } = deps;
  const machine = readMachine();
  checkKernel(configuration, deps.logger);
  const layout = cgroupLayout();
  const givers = makeGivers(deps, machine);
  const csi = createCsiDrivers({ api, nodeName: deps.nodeName });
  const node = createNodeInfo({
    name: deps.nodeName,
    hostname: deps.nodeName,
    nodeIps: deps.nodeIps ?? [],
    labels: deps.nodeLabels ?? {},
    kubeletRoot: paths.kubelet,
    machine,
    configuration,
    images: core.images,
    clock,
    health: () => core.health,
    pressure: () => late.pressure(),
    devices: () => givers.devices.counts(),
    volumesInUse: () => volumes.volumesInUse(),
    extraErrors: () => [late.shuttingDown()].filter((error) => error !== undefined),
  });
  const making: Making = {
    ...givers,
    csi,
    deps,
    core,
    late,
    machine,
    node,
    layout,
    root: podsRoot(configuration, paths.root, paths.tag),
    settings: resourceSettings(configuration, machine, {
      cgroupVersion: layout.mode === 'unified' ? 2 : 1,
      allocatable: () => node.allocatable().memory,
    }),
    objects: api ?? { configMap: async () => undefined, secret: async () => undefined },
  };
  const volumes = makeVolumes(making);
  const prober = createProber(core.runtime);
  const attempt = createAttempt({ prober, events: core.events, count: probeCounter(core) });
  return {
    node,
    machine,
    layout,
    podsCgroup: () => cgroupPath(making.root, late.driver),
    podCgroup: (pod) => cgroupPath(podCgroup(making.root, pod), late.driver),
    volumes,
    builder: makeBuilder(making),
    probes: createProbeManager({ statuses: core.statuses, clock, attempt }),
    hooks: createHookRunner({ cri: core.runtime, clock }),
    resources: makeResources(making),
    ...givers,
    csi,
    admission: makeAdmission(making),
    linuxResources: (pod, container) => linuxResources(pod, container, making.settings),
  };
}

/** Gates, then what is to be given, then what fits: the original's order. */
function makeAdmission(making: Making) {
  const { deps, late, topology, dynamicResources } = making;
  const { cpuManagerPolicy, memoryManagerPolicy, allowedUnsafeSysctls } = deps.configuration;
  const allocating = createAllocating(createAdmission(admissionDeps(making)), {
    topology,
    dynamicResources,
    staticCpus: cpuManagerPolicy === 'static',
    staticMemory: memoryManagerPolicy === 'Static',
  });
  return createGates(allocating, {
    pressure: () => late.pressure(),
    shuttingDown: () => late.shuttingDown(),
    allowedUnsafeSysctls,
  });
}

function admissionDeps({ deps, core, node, devices }: Making): AdmissionDeps {
  const { api, logger: log, nodeName } = deps;
  const preempted = new Counter({
    name: 'kubelet_preemptions',
    help: 'Cumulative number of pod preemptions by preemption resource',
    labelNames: ['preemption_signal'],
    registers: [core.view.metrics],
  });
  const room = {
    control: core.control,
    events: core.events,
    log,
    count: (resource: string) => preempted.inc({ preemption_signal: resource }),
  };
  return {
    node,
    labels: deps.nodeLabels ?? {},
    apiNode: () => api?.node(),
    freshNode: async () => (api === undefined ? undefined : getNode(api, nodeName)),
    holds: (pod, resource) =>
      devices
        .list()
        .allocations.some((each) => each.podUid === pod.metadata.uid && each.resource === resource),
    strictGroups: () => core.health.runtimeFeatures().supplementalGroupsPolicy,
    makeRoom: (pod, others, shortages) => makeRoom(room, pod, others, shortages),
  };
}

/** Volumes are attached where the cluster's controller does it. */
function makeAttachments({ api, clock, configuration, nodeName, paths }: KubeletDeps, late: LateFacts) {
  if (api === undefined || !configuration.enableControllerAttachDetach) return undefined;
  return createAttachments({
    kubeletRoot: paths.kubelet,
    node: () => api.node(),
    freshNode: () => getNode(api, nodeName),
    changed: () => late.nodeAlarm.ring(),
    clock,
  });
}

function makeVolumes({ deps, core, late, node, objects, csi }: Making) {
  const { api, clock, logger: log, paths } = deps;
  const tokens = api === undefined ? undefined : createTokens({ api, clock });
  const attachments = makeAttachments(deps, late);
  return createVolumeManager({
    kubeletRoot: paths.kubelet,
    plugins: [
      emptyDirPlugin({ allocatableMemory: () => node.allocatable().memory }),
      hostPathPlugin(),
      imagePlugin(),
      localPlugin(),
      nfsPlugin(),
      csiPlugin({
        kubeletRoot: paths.kubelet,
        drivers: csi,
        objects,
        api,
        nodeName: deps.nodeName,
        attachments,
        tokens,
        events: core.events,
      }),
      ...contentPlugins({ objects, tokens, allocatable: node.allocatable }),
    ],
    resolve: createVolumeResolver(api),
    attached: () => attachments?.inUse() ?? [],
    clock,
    events: core.events,
    log,
    onGone: (uid) => {
      tokens?.forget(uid);
      attachments?.forget(uid);
    },
  });
}

function makeBuilder({ deps, core, late, node, root, settings, objects, ...givers }: Making) {
  const { devices, cpus, memory, dynamicResources } = givers;
  const { configuration, paths, api } = deps;
  const handlerOf = (pod: Pod) => {
    const { handlers } = core.health.runtimeFeatures();
    return handlers.find((handler) => handler.name === (pod.spec.runtimeClassName ?? ''));
  };
  const users = createUserNamespaces({
    kubeletRoot: paths.kubelet,
    range: userRange(configuration),
    supported: (pod) => handlerOf(pod)?.userNamespaces === true,
  });
  return createContainerConfigBuilder({
    kubeletRoot: paths.kubelet,
    hostsFile: '/etc/hosts',
    dns: {
      clusterDns: configuration.clusterDNS ?? [],
      clusterDomain: configuration.clusterDomain ?? '',
      resolvConf: configuration.resolvConf,
    },
    security: {
      kubeletRoot: paths.kubelet,
      seccompDefault: configuration.seccompDefault,
      maskedPaths: findMaskedPaths(),
    },
    resources: () => settings,
    allocatable: node.allocatable,
    cgroups: () => ({ driver: late.driver, root: configuration.cgroupsPerQOS ? root : undefined }),
    namespaces: (pod, target) => ({ ...namespaceOptions(pod, target), usernsOptions: users.options(pod) }),
    recursiveReadOnly: (pod) => handlerOf(pod)?.recursiveReadOnlyMounts === true,
    runtimeHandler: deps.runtimeHandler ?? (async (name) => name),
    objects,
    services: () => api?.services() ?? [],
    node,
    devices: async (pod, container) => {
      const given = await devices.given(pod, container);
      return {
        ...given,
        cdiDevices: [...given.cdiDevices, ...dynamicResources.cdiDevices(pod, container)],
        cpus: cpus.cpusFor(pod.metadata.uid ?? '', container.name),
        mems: memory.memsFor(pod.metadata.uid ?? '', container.name),
      };
    },
    events: core.events,
  });
}

function makeResources({ deps, late, node, layout, root, settings }: Making) {
  return createPodResources({
    layout,
    driver: () => late.driver,
    root,
    failCgroupV1: deps.failCgroupV1 ?? deps.configuration.failCgroupV1,
    nodeLimits: () => podsLimit(node.capacity(), deps.configuration),
    enforceCpuLimits: settings.enforceCpuLimits,
    cpuPeriod: settings.cpuPeriod,
    podPids: Math.max(0, deps.configuration.podPidsLimit),
    hugePageSizes: settings.hugePageSizes,
    memoryQos: settings.memoryQos,
    limitReserved: () => limitReservedGroups(deps.configuration, layout, late.driver),
    log: deps.logger,
  });
}

/** The cgroup above all pods; another root of Skiff on the same machine has another. */
function podsRoot({ cgroupRoot }: KubeletConfiguration, root: string, tag: string): CgroupName {
  const above = (cgroupRoot ?? '').split('/').filter((part) => part !== '');
  return [...above, root === '/' ? 'kubepods' : `kubepods${tag}`];
}

function resourceSettings(
  configuration: KubeletConfiguration,
  machine: ReturnType<typeof readMachine>,
  { cgroupVersion, allocatable }: { cgroupVersion: 1 | 2; allocatable: () => number },
): ResourceSettings {
  return {
    memoryCapacity: machine.memory,
    swapCapacity: machine.swap,
    cgroupVersion,
    enforceCpuLimits: configuration.cpuCFSQuota,
    cpuPeriod: durationMs(configuration.cpuCFSQuotaPeriod) * 1000,
    swapBehavior: configuration.memorySwap?.swapBehavior === 'LimitedSwap' ? 'LimitedSwap' : 'NoSwap',
    singleProcessOomKill: configuration.singleProcessOOMKill === true,
    hugePageSizes: [...machine.hugePages.keys()],
    memoryQos:
      configuration.featureGates.MemoryQoS === true && cgroupVersion === 2
        ? {
            throttling: configuration.memoryThrottlingFactor,
            reserves: configuration.memoryReservationPolicy === 'TieredReservation',
            allocatable,
          }
        : undefined,
  };
}

function probeCounter({ view }: CoreServices) {
  const counter = new Counter({
    name: 'prober_probe_total',
    help: 'Probes of containers by result',
    labelNames: ['probe_type', 'result', 'container', 'pod', 'namespace', 'pod_uid'],
    registers: [view.metrics],
  });
  return (labels: Record<string, string>) => counter.inc(labels);
}
