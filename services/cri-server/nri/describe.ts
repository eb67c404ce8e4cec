/** How plugins are told of pods and containers. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { GenEnum } from '@bufbuild/protobuf/codegenv2';
import type { LinuxContainerResources } from '#contracts/cri/runtime_pb.ts';
import {
  type Container,
  ContainerSchema,
  ContainerState,
  IOPrioClassSchema,
  type LinuxContainerSchema,
  type LinuxResourcesSchema,
  LinuxSchedulerFlagSchema,
  LinuxSchedulerPolicySchema,
  type LinuxSchedulerSchema,
  type PodSandbox,
  PodSandboxSchema,
} from '#contracts/nri/nri_pb.ts';
import type { LinuxSpec, ProcessSpec, RuntimeSpec } from '#contracts/oci/runtime.ts';
import type { SandboxView } from '../ports.ts';
import { describeResources } from './adjust/resources.ts';
import type { NriContainer } from './ports.ts';

/** A pod. */
export function describePod(sandbox: SandboxView): PodSandbox {
  const { config } = sandbox;
  const { overhead, resources } = config.linux ?? {};
  return create(PodSandboxSchema, {
    id: sandbox.id,
    name: config.metadata?.name ?? '',
    uid: config.metadata?.uid ?? '',
    namespace: config.metadata?.namespace ?? '',
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: sandbox.runtimeHandler,
    pid: sandbox.pausePid ?? 0,
    ips: sandbox.ips,
    linux: {
      ...(overhead === undefined ? {} : { podOverhead: describeCriResources(overhead) }),
      ...(resources === undefined ? {} : { podResources: describeCriResources(resources) }),
      cgroupParent: sandbox.cgroupParent,
      namespaces: Object.entries(sandbox.namespaces).map(([type, path]) => ({ type, path: path ?? '' })),
    },
  });
}

/** The CRI's limits; 0 means unset there. */
export function describeCriResources(
  resources: LinuxContainerResources,
): MessageInitShape<typeof LinuxResourcesSchema> {
  const { cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems, memoryLimitInBytes } = resources;
  return {
    cpu: {
      ...(cpuShares === 0n ? {} : { shares: cpuShares }),
      ...(cpuQuota === 0n ? {} : { quota: cpuQuota }),
      ...(cpuPeriod === 0n ? {} : { period: cpuPeriod }),
      cpus: cpusetCpus,
      mems: cpusetMems,
    },
    memory: memoryLimitInBytes === 0n ? {} : { limit: memoryLimitInBytes },
    hugepageLimits: resources.hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit })),
    unified: resources.unified,
  };
}

const states = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  stopped: ContainerState.CONTAINER_STOPPED,
};

/** A container. */
export function describeContainer(container: NriContainer): Container {
  const { spec, image } = container;
  return create(ContainerSchema, {
    id: container.id,
    podSandboxId: container.sandboxId,
    name: container.name,
    state: states[container.state],
    labels: container.labels,
    annotations: { ...container.annotations, ...spec?.annotations },
    CDIDevices: container.cdiDevices.map((name) => ({ name })),
    pid: container.pid,
    createdAt: container.createdAt,
    startedAt: container.startedAt,
    finishedAt: container.finishedAt,
    exitCode: container.exitCode,
    statusReason: container.reason,
    statusMessage: container.message,
    image,
    ...(spec === undefined ? {} : describeSpec(spec)),
  });
}

function describeSpec(spec: RuntimeSpec) {
  const { process, mounts, hooks, linux } = spec;
  const listed = (name: keyof NonNullable<typeof hooks>) =>
    (hooks?.[name] ?? []).map(({ path, args = [], env = [], timeout }) => ({
      path,
      args,
      env,
      ...(timeout === undefined ? {} : { timeout: BigInt(timeout) }),
    }));
  const { uid, gid, additionalGids = [] } = process.user;
  return {
    args: process.args,
    env: process.env ?? [],
    user: { uid, gid, additionalGids },
    rlimits: (process.rlimits ?? []).map(({ type, soft, hard }) => ({
      type,
      soft: BigInt(soft),
      hard: BigInt(hard),
    })),
    mounts: mounts.map(({ destination, type = '', source = '', options = [] }) => ({
      destination,
      type,
      source,
      options,
    })),
    hooks: {
      prestart: listed('prestart'),
      createRuntime: listed('createRuntime'),
      createContainer: listed('createContainer'),
      startContainer: listed('startContainer'),
      poststart: listed('poststart'),
      poststop: listed('poststop'),
    },
    linux: describeLinux(linux, process),
  };
}

function describeLinux(
  linux: LinuxSpec,
  { oomScoreAdj, ioPriority, scheduler }: ProcessSpec,
): MessageInitShape<typeof LinuxContainerSchema> {
  return {
    namespaces: linux.namespaces.map(({ type, path = '' }) => ({ type, path })),
    devices: (linux.devices ?? []).map(({ path, type, major = 0, minor = 0, fileMode, uid, gid }) => ({
      path,
      type,
      major: BigInt(major),
      minor: BigInt(minor),
      ...(fileMode === undefined ? {} : { fileMode }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    })),
    resources: describeResources(linux.resources ?? {}),
    cgroupsPath: linux.cgroupsPath ?? '',
    sysctl: linux.sysctl ?? {},
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj: BigInt(oomScoreAdj) }),
    netDevices: Object.fromEntries(
      Object.entries(linux.netDevices ?? {}).map(([key, { name = '' }]) => [key, { name }]),
    ),
    ...(ioPriority === undefined
      ? {}
      : {
          ioPriority: { class: numberIn(IOPrioClassSchema, ioPriority.class), priority: ioPriority.priority },
        }),
    ...(scheduler === undefined ? {} : { scheduler: describeScheduler(scheduler) }),
  };
}

function describeScheduler({
  policy,
  flags = [],
  runtime = 0,
  deadline = 0,
  period = 0,
  ...rest
}: NonNullable<ProcessSpec['scheduler']>): MessageInitShape<typeof LinuxSchedulerSchema> {
  return {
    ...rest,
    policy: numberIn(LinuxSchedulerPolicySchema, policy),
    flags: flags.map((flag) => numberIn(LinuxSchedulerFlagSchema, flag)),
    runtime: BigInt(runtime),
    deadline: BigInt(deadline),
    period: BigInt(period),
  };
}

function numberIn<T extends number>(schema: GenEnum<T>, name: string): T {
  return (schema.values.find((value) => value.name === name)?.number ?? 0) as T;
}
