/** Rules that join several fields of a configuration, or need more than a field's shape. */
import { isIP } from 'node:net';
import { quantity } from '#contracts/kubernetes/quantity.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { isCurve } from '../server/tls.ts';
import type { KubeletConfiguration } from './defaults.ts';
import { durationMs } from './duration.ts';

/** Signals that thresholds may name. */
const evictionSignals = [
  'memory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'containerfs.available',
  'containerfs.inodesFree',
  'pid.available',
  'allocatableMemory.available',
];

/** What is wrong: one line for each, beginning with the field; empty if nothing is. */
export function validate(configuration: KubeletConfiguration): string[] {
  return [
    ...serverProblems(configuration),
    ...evictionProblems(configuration),
    ...resourceProblems(configuration),
    ...nodeProblems(configuration),
    ...managerProblems(configuration),
  ];
}

function serverProblems(configuration: KubeletConfiguration): string[] {
  const problems: string[] = [];
  const { tlsCertFile = '', tlsPrivateKeyFile = '' } = configuration;
  if ((tlsCertFile === '') !== (tlsPrivateKeyFile === ''))
    problems.push('tlsCertFile: must be set together with tlsPrivateKeyFile');
  for (const field of ['address', 'healthzBindAddress'] as const)
    if (isIP(configuration[field]) === 0)
      problems.push(`${field}: "${configuration[field]}" is not an IP address`);
  return problems;
}

function evictionProblems(configuration: KubeletConfiguration): string[] {
  const problems: string[] = [];
  for (const field of ['evictionHard', 'evictionSoft', 'evictionMinimumReclaim'] as const)
    for (const [signal, value] of Object.entries(configuration[field])) {
      if (!evictionSignals.includes(signal)) problems.push(`${field}.${signal}: unknown signal`);
      const problem = thresholdProblem(value);
      if (problem !== undefined) problems.push(`${field}.${signal}: ${problem}`);
    }
  for (const signal of Object.keys(configuration.evictionSoft))
    if (configuration.evictionSoftGracePeriod[signal] === undefined)
      problems.push(`evictionSoft.${signal}: needs an evictionSoftGracePeriod for it`);
  return problems;
}

function thresholdProblem(value: string): string | undefined {
  if (value.endsWith('%')) {
    const share = Number(value.slice(0, -1));
    return share >= 0 && share <= 100 ? undefined : `"${value}" is not between 0% and 100%`;
  }
  return quantityProblem(value);
}

function quantityProblem(value: string): string | undefined {
  try {
    return quantity(value).nanos < 0n ? `"${value}" must not be negative` : undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function resourceProblems(configuration: KubeletConfiguration): string[] {
  const problems: string[] = [];
  const allowed = ['cpu', 'memory', 'ephemeral-storage', 'pid'];
  for (const field of ['systemReserved', 'kubeReserved'] as const)
    for (const [name, value] of Object.entries(configuration[field])) {
      if (!allowed.includes(name)) problems.push(`${field}.${name}: must be one of ${allowed.join(', ')}`);
      const problem = quantityProblem(value);
      if (problem !== undefined) problems.push(`${field}.${name}: ${problem}`);
    }
  const size = quantityProblem(configuration.containerLogMaxSize);
  if (size !== undefined) problems.push(`containerLogMaxSize: ${size}`);
  if (!configuration.cgroupsPerQOS && configuration.enforceNodeAllocatable.includes('pods'))
    problems.push('enforceNodeAllocatable: "pods" needs cgroupsPerQOS');
  return problems;
}

function nodeProblems(configuration: KubeletConfiguration): string[] {
  const problems: string[] = [];
  const { imageGCLowThresholdPercent: low, imageGCHighThresholdPercent: high } = configuration;
  if (low >= high) problems.push('imageGCLowThresholdPercent: must be less than imageGCHighThresholdPercent');
  const { shutdownGracePeriod: all, shutdownGracePeriodCriticalPods: critical } = configuration;
  if (durationMs(critical) > durationMs(all))
    problems.push('shutdownGracePeriodCriticalPods: must not be longer than shutdownGracePeriod');
  if (durationMs(all) > 0 && configuration.shutdownGracePeriodByPodPriority.length > 0)
    problems.push('shutdownGracePeriodByPodPriority: cannot be set beside shutdownGracePeriod');
  const restart = configuration.crashLoopBackOff.maxContainerRestartPeriod;
  if (restart !== undefined && (durationMs(restart) < 1000 || durationMs(restart) > 300_000))
    problems.push('crashLoopBackOff.maxContainerRestartPeriod: must be between 1s and 300s');
  for (const server of configuration.clusterDNS)
    if (isIP(server) === 0) problems.push(`clusterDNS: "${server}" is not an IP address`);
  if (configuration.maxParallelImagePulls !== undefined && configuration.maxParallelImagePulls !== null)
    if (configuration.serializeImagePulls && configuration.maxParallelImagePulls > 1)
      problems.push('maxParallelImagePulls: cannot be more than 1 while serializeImagePulls is true');
  return problems;
}

/** Options of the managers by name, with the values that are taken. */
const cpuOptions = [
  'full-pcpus-only',
  'strict-cpu-reservation',
  'distribute-cpus-across-numa',
  'prefer-align-cpus-by-uncorecache',
  'align-by-socket',
  'distribute-cpus-across-cores',
];
/** Of them those that the original has behind its gate for what is young. */
const youngCpuOptions = ['align-by-socket', 'distribute-cpus-across-cores'];
const youngGate = 'CPUManagerPolicyAlphaOptions';
/** Pairs that say opposite things. */
const cpuContradictions = [
  ['full-pcpus-only', 'distribute-cpus-across-cores'],
  ['prefer-align-cpus-by-uncorecache', 'distribute-cpus-across-numa'],
  ['prefer-align-cpus-by-uncorecache', 'distribute-cpus-across-cores'],
] as const;
const topologyOptions = ['prefer-closest-numa-nodes', 'max-allowable-numa-nodes'];

function cpuOptionProblems(configuration: KubeletConfiguration): string[] {
  const { cpuManagerPolicyOptions: options = {}, cpuManagerPolicy, topologyManagerPolicy } = configuration;
  const problems: string[] = [];
  const is = (name: string) => options[name] === 'true';
  for (const [name, value] of Object.entries(options)) {
    const field = `cpuManagerPolicyOptions.${name}`;
    if (!cpuOptions.includes(name))
      problems.push(`${field}: not supported; known are ${cpuOptions.join(', ')}`);
    else if (value !== 'true' && value !== 'false')
      problems.push(`${field}: "${value}" must be "true" or "false"`);
    else if (youngCpuOptions.includes(name) && configuration.featureGates[youngGate] !== true)
      problems.push(`${field}: needs featureGates.${youngGate}: true`);
  }
  for (const [one, other] of cpuContradictions)
    if (is(one) && is(other))
      problems.push(`cpuManagerPolicyOptions: ${one} and ${other} cannot be used at the same time`);
  if (is('align-by-socket') && topologyManagerPolicy === 'single-numa-node')
    problems.push('cpuManagerPolicyOptions.align-by-socket: cannot be used with single-numa-node');
  if (Object.keys(options).length > 0 && cpuManagerPolicy !== 'static')
    problems.push('cpuManagerPolicyOptions: need cpuManagerPolicy static');
  return problems;
}

function managerProblems(configuration: KubeletConfiguration): string[] {
  const { topologyManagerPolicyOptions: topology = {} } = configuration;
  const problems = cpuOptionProblems(configuration);
  for (const [name, value] of Object.entries(topology))
    if (!topologyOptions.includes(name))
      problems.push(
        `topologyManagerPolicyOptions.${name}: not supported; known are ${topologyOptions.join(', ')}`,
      );
    else if (!(name.startsWith('max') ? /^[1-9]\d?$/ : /^(true|false)$/).test(value))
      problems.push(`topologyManagerPolicyOptions.${name}: "${value}" is not a value for it`);
  if (configuration.memoryManagerPolicy === 'BestEffort')
    problems.push('memoryManagerPolicy: BestEffort is for Windows; use None or Static');
  for (const [index, { limits }] of (configuration.reservedMemory ?? []).entries())
    for (const [name, value] of Object.entries(limits)) {
      if (name !== 'memory' && !name.startsWith('hugepages-'))
        problems.push(`reservedMemory.${index}.limits.${name}: must be memory or hugepages-SIZE`);
      const problem = quantityProblem(value);
      if (problem !== undefined) problems.push(`reservedMemory.${index}.limits.${name}: ${problem}`);
    }
  for (const curve of configuration.tlsCurvePreferences ?? [])
    if (!isCurve(curve)) problems.push(`tlsCurvePreferences: "${curve}" is not a curve`);
  return [...problems, ...enforcementProblems(configuration), ...userProblems(configuration)];
}

function enforcementProblems(configuration: KubeletConfiguration): string[] {
  const wanted = configuration.enforceNodeAllocatable;
  const groups = [
    ['system-reserved', 'systemReservedCgroup', configuration.systemReservedCgroup],
    ['kube-reserved', 'kubeReservedCgroup', configuration.kubeReservedCgroup],
  ] as const;
  const problems = groups.flatMap(([name, field, group = '']) => {
    const asked = wanted.includes(name) || wanted.includes(`${name}-compressible`);
    return asked && group === '' ? [`${field}: must be set to enforce ${name}`] : [];
  });
  if (wanted.includes('none') && wanted.length > 1)
    problems.push('enforceNodeAllocatable: "none" cannot stand beside others');
  return problems;
}

function userProblems({ userNamespaces, memorySwap, failSwapOn }: KubeletConfiguration): string[] {
  const problems: string[] = [];
  if ((userNamespaces.idsPerPod ?? 0) % 65_536 !== 0)
    problems.push('userNamespaces.idsPerPod: must be a multiple of 65536');
  if (memorySwap.swapBehavior === 'LimitedSwap' && failSwapOn)
    problems.push('memorySwap.swapBehavior: LimitedSwap needs failSwapOn: false');
  return problems;
}
