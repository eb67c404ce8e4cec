/** Limits of a container: from the CRI's fields (0 means unset) to config.json's, for both cgroup versions. */

import type { LinuxContainerResources } from '#contracts/cri/runtime_pb.ts';
import type { SpecResources } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { HostFacts } from './host.ts';

/** The least memory that a container can start in: below it the runtime itself is killed. Bytes. */
const leastMemory = 512n * 1024n;

/**
 * The resources part of config.json, without device rules.
 *
 * @throws SkiffError INVALID_ARGUMENT if a value cannot be right.
 */
export function resourcesOf(
  resources: LinuxContainerResources | undefined,
  host: Pick<HostFacts, 'cgroups' | 'swapLimits'>,
): SpecResources {
  if (resources === undefined) return {};
  const unified = unifiedOf(resources, host);
  return {
    ...part('memory', memoryOf(resources, host)),
    ...part('cpu', cpuOf(resources)),
    ...(resources.hugepageLimits.length === 0 || !hasHugetlb(host)
      ? {}
      : {
          hugepageLimits: resources.hugepageLimits.map(({ pageSize, limit }) => ({
            pageSize,
            limit: Number(limit),
          })),
        }),
    ...part('unified', unified),
  };
}

function part<K extends string, V extends object>(key: K, value: V): { [P in K]?: V } {
  return (Object.keys(value).length === 0 ? {} : { [key]: value }) as { [P in K]?: V };
}

function memoryOf(
  resources: LinuxContainerResources,
  host: Pick<HostFacts, 'swapLimits'>,
): NonNullable<SpecResources['memory']> {
  const limit = resources.memoryLimitInBytes;
  const swap = resources.memorySwapLimitInBytes;
  if (limit < -1n) throw invalid('memory_limit_in_bytes', limit, 'use -1 for no limit');
  if (limit > 0n && limit < leastMemory)
    throw invalid('memory_limit_in_bytes', limit, `a container needs at least ${leastMemory}`);
  if (swap > 0n && limit > 0n && swap < limit)
    throw invalid(
      'memory_swap_limit_in_bytes',
      swap,
      `it counts memory and swap together, so at least ${limit}`,
    );
  if (limit === 0n) return swap === 0n || !host.swapLimits ? {} : { swap: Number(swap) };
  // Without a word on swap the container gets none: what is limited must not move to disk instead.
  return { limit: Number(limit), ...(host.swapLimits ? { swap: Number(swap === 0n ? limit : swap) } : {}) };
}

function cpuOf(resources: LinuxContainerResources): NonNullable<SpecResources['cpu']> {
  const { cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems } = resources;
  if (cpuShares < 0n) throw invalid('cpu_shares', cpuShares, 'use 2 to 262144');
  if (cpuPeriod < 0n) throw invalid('cpu_period', cpuPeriod, 'use 1000 to 1000000 microseconds');
  for (const [name, list] of [
    ['cpuset_cpus', cpusetCpus],
    ['cpuset_mems', cpusetMems],
  ] as const)
    if (!/^[\d,-]*$/.test(list)) throw invalid(name, list, 'use a list such as 0-2,5');
  return {
    ...(cpuShares > 0n ? { shares: Number(cpuShares) } : {}),
    ...(cpuQuota !== 0n ? { quota: Number(cpuQuota) } : {}),
    ...(cpuPeriod > 0n ? { period: Number(cpuPeriod) } : {}),
    ...(cpusetCpus !== '' ? { cpus: cpusetCpus } : {}),
    ...(cpusetMems !== '' ? { mems: cpusetMems } : {}),
  };
}

/** Files of version 2. Names are checked: they become paths below the container's group. */
function unifiedOf(
  resources: LinuxContainerResources,
  host: Pick<HostFacts, 'cgroups'>,
): Record<string, string> {
  for (const name of Object.keys(resources.unified))
    if (!/^[a-z][a-z0-9_.-]*$/.test(name) || !name.includes('.'))
      throw invalid('unified', name, 'names look like memory.high');
  return host.cgroups.mode === 'unified' ? resources.unified : {};
}

function hasHugetlb(host: Pick<HostFacts, 'cgroups'>): boolean {
  return host.cgroups.mode === 'unified'
    ? host.cgroups.v2Controllers.has('hugetlb')
    : host.cgroups.v1.has('hugetlb');
}

function invalid(field: string, value: bigint | string, hint: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `${field} is ${value}: ${hint}`);
}
