/** The CRI configuration of a pod's sandbox. */
import { create } from '@bufbuild/protobuf';
import {
  type PodSandboxConfig,
  PodSandboxConfigSchema,
  Protocol,
  SecurityProfile_ProfileType,
} from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { SandboxContext } from '../ports.ts';
import { amountOf, milliCpuOf } from '../resources/amounts.ts';
import { criCgroupParent, podCgroup } from '../resources/cgroup-names.ts';
import { podTotals, quotaFor, sharesFor } from '../resources/linux-resources.ts';
import type { BuilderDeps } from './builder.ts';
import { podDns } from './dns.ts';
import { podNames } from './hostname.ts';
import { groupsPolicy, supplementalGroups } from './security.ts';

/** Builds the configuration of a sandbox. @throws SkiffError if the pod's DNS or names cannot be had. */
export function buildSandbox(deps: BuilderDeps, pod: Pod, context: SandboxContext): PodSandboxConfig {
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  const hostNetwork = pod.spec.hostNetwork === true;
  const { dns, warnings } = podDns(pod, deps.dns);
  for (const { reason, message } of warnings) deps.events.pod(pod, 'Warning', reason, message);
  return create(PodSandboxConfigSchema, {
    metadata: { name, namespace, uid, attempt: context.attempt },
    hostname: hostNetwork ? '' : podNames(pod, deps.dns.clusterDomain).kernelName,
    logDirectory: context.logDirectory,
    dnsConfig: dns,
    portMappings: hostNetwork ? [] : portMappings(pod),
    labels: { ...pod.metadata.labels, ...context.labels },
    annotations: { ...pod.metadata.annotations, ...context.annotations },
    linux: {
      cgroupParent: cgroupParent(deps, pod),
      sysctls: sysctls(pod),
      securityContext: securityContext(deps, pod),
      ...sandboxResources(deps, pod),
    },
  });
}

function cgroupParent(deps: BuilderDeps, pod: Pod): string {
  const { driver, root } = deps.cgroups();
  return root === undefined ? '' : criCgroupParent(podCgroup(root, pod), driver);
}

/** `a/b` and `a.b` name the same parameter (sysctl(8)); the runtime expects dots. */
function sysctls(pod: Pod): Record<string, string> {
  const listed = pod.spec.securityContext?.sysctls ?? [];
  return Object.fromEntries(listed.map(({ name, value }) => [dotted(name), value]));
}

/** Turns slashes to dots, and dots to slashes, unless the name uses dots as separators already. */
export function dotted(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  if (first !== '/') return name;
  return name.replace(/[./]/g, (character) => (character === '/' ? '.' : '/'));
}

function portMappings(
  pod: Pod,
): { protocol: Protocol; containerPort: number; hostPort: number; hostIp: string }[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy === 'Always');
  return [...sidecars, ...pod.spec.containers].flatMap((container) =>
    (container.ports ?? []).map((port) => ({
      protocol: protocolOf(port.protocol),
      containerPort: port.containerPort,
      hostPort: port.hostPort ?? 0,
      hostIp: port.hostIP ?? '',
    })),
  );
}

function protocolOf(name: string | undefined): Protocol {
  if (name === 'UDP') return Protocol.UDP;
  return name === 'SCTP' ? Protocol.SCTP : Protocol.TCP;
}

function securityContext(deps: BuilderDeps, pod: Pod) {
  const whole = pod.spec.securityContext ?? {};
  const all = [
    ...(pod.spec.initContainers ?? []),
    ...pod.spec.containers,
    ...(pod.spec.ephemeralContainers ?? []),
  ];
  return {
    namespaceOptions: deps.namespaces(pod),
    selinuxOptions: whole.seLinuxOptions,
    runAsUser: whole.runAsUser === undefined ? undefined : { value: BigInt(whole.runAsUser) },
    runAsGroup: whole.runAsGroup === undefined ? undefined : { value: BigInt(whole.runAsGroup) },
    supplementalGroups: supplementalGroups(pod),
    supplementalGroupsPolicy: groupsPolicy(pod),
    // A privileged container needs a sandbox whose devices and /sys are not cut down.
    privileged: all.some((container) => container.securityContext?.privileged === true),
    // The sandbox runs no code of the pod's: it is confined whatever the pod asks for.
    seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
  };
}

/** `resources` without the overhead, which stands beside it. */
function sandboxResources(deps: BuilderDeps, pod: Pod) {
  const { cpuPeriod, enforceCpuLimits } = deps.resources();
  const totals = podTotals({ ...pod, spec: { ...pod.spec, overhead: undefined } });
  const linux = (milliCpu: number, milliCpuLimit: number, memory: number) => ({
    cpuPeriod: BigInt(cpuPeriod),
    cpuQuota: enforceCpuLimits ? BigInt(quotaFor(milliCpuLimit, cpuPeriod)) : 0n,
    cpuShares: BigInt(sharesFor(milliCpu)),
    memoryLimitInBytes: BigInt(memory),
  });
  const overheadCpu = milliCpuOf(pod.spec.overhead?.cpu ?? 0);
  const overheadMemory = amountOf(pod.spec.overhead?.memory ?? 0);
  return {
    resources: linux(totals.milliCpuRequest, totals.milliCpuLimit, totals.memoryLimit),
    overhead: pod.spec.overhead === undefined ? undefined : linux(overheadCpu, overheadCpu, overheadMemory),
  };
}
