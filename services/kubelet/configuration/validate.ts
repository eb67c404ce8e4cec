/** Rules that join several fields of a configuration, or need more than a field's shape. */
import { isIP } from 'node:net';
import { quantity } from '#contracts/kubernetes/quantity.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { KubeletConfiguration } from './defaults.ts';
import { durationMs } from './duration.ts';

/** Signals that thresholds may name. */
export const evictionSignals = [
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
