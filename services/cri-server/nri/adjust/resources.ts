/** Limits between NRI's message and config.json. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Field, type LinuxResources, type LinuxResourcesSchema } from '#contracts/nri/nri_pb.ts';
import type { SpecResources } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Claims } from './claims.ts';

type Cpu = NonNullable<SpecResources['cpu']>;
type Memory = NonNullable<SpecResources['memory']>;

/**
 * Sets what a plugin wants in `base`.
 *
 * @param swapLimits whether a memory limit sets that of memory and swap too, unless the plugin sets both.
 * @throws SkiffError FAILED_PRECONDITION if another plugin set the same; UNIMPLEMENTED for classes of block I/O or
 *   RDT, which this node has none of.
 */
export function adjustResources(
  base: SpecResources,
  wanted: LinuxResources,
  claims: Claims,
  swapLimits: boolean,
): SpecResources {
  const { blockioClass, rdtClass } = wanted;
  if (blockioClass) throw unknownClass('block I/O', blockioClass);
  if (rdtClass) throw unknownClass('RDT', rdtClass);
  const result: SpecResources = { ...base };
  const cpu = cpuOf(base.cpu ?? {}, wanted, claims);
  if (Object.keys(cpu).length > 0) result.cpu = cpu;
  const memory = memoryOf(base.memory ?? {}, wanted, claims, swapLimits);
  if (Object.keys(memory).length > 0) result.memory = memory;
  if (wanted.pids !== undefined) {
    claims.take(Field.PidsLimit);
    result.pids = { limit: Number(wanted.pids.limit) };
  }
  for (const { pageSize, limit } of wanted.hugepageLimits) {
    claims.take(Field.HugepageLimits, pageSize);
    const others = (result.hugepageLimits ?? []).filter((one) => one.pageSize !== pageSize);
    result.hugepageLimits = [...others, { pageSize, limit: Number(limit) }];
  }
  for (const [name, value] of Object.entries(wanted.unified)) {
    claims.take(Field.CgroupsUnified, name);
    result.unified = { ...result.unified, [name]: value };
  }
  return result;
}

function unknownClass(kind: string, name: string): SkiffError {
  return new SkiffError(
    'UNIMPLEMENTED',
    `an NRI plugin sets the ${kind} class "${name}": this node has no such classes`,
  );
}

/** Sets a number if the plugin gave one. */
function set<T extends object, K extends keyof T>(
  target: T,
  key: K,
  value: bigint | undefined,
  claims: Claims,
  field: Field,
): void {
  if (value === undefined) return;
  claims.take(field);
  target[key] = Number(value) as T[K];
}

function cpuOf(base: Cpu, { cpu }: LinuxResources, claims: Claims): Cpu {
  const result: Cpu = { ...base };
  if (cpu === undefined) return result;
  set(result, 'shares', cpu.shares, claims, Field.CPUShares);
  set(result, 'quota', cpu.quota, claims, Field.CPUQuota);
  set(result, 'period', cpu.period, claims, Field.CPUPeriod);
  set(result, 'realtimeRuntime', cpu.realtimeRuntime, claims, Field.CPURealtimeRuntime);
  set(result, 'realtimePeriod', cpu.realtimePeriod, claims, Field.CPURealtimePeriod);
  if (cpu.cpus !== '') {
    claims.take(Field.CPUSetCPUs);
    result.cpus = cpu.cpus;
  }
  if (cpu.mems !== '') {
    claims.take(Field.CPUSetMems);
    result.mems = cpu.mems;
  }
  return result;
}

function memoryOf(base: Memory, { memory }: LinuxResources, claims: Claims, swapLimits: boolean): Memory {
  const result: Memory = { ...base };
  if (memory === undefined) return result;
  // A limit of 0 is none: plugins send back what they were told.
  const limit = memory.limit === 0n ? undefined : memory.limit;
  set(result, 'limit', limit, claims, Field.MemLimit);
  if (limit !== undefined && swapLimits) result.swap = Number(limit);
  set(result, 'swap', memory.swap, claims, Field.MemSwapLimit);
  set(result, 'reservation', memory.reservation, claims, Field.MemReservation);
  set(result, 'kernel', memory.kernel, claims, Field.MemKernelLimit);
  set(result, 'kernelTCP', memory.kernelTcp, claims, Field.MemTCPLimit);
  set(result, 'swappiness', memory.swappiness, claims, Field.MemSwappiness);
  if (memory.disableOomKiller !== undefined) {
    claims.take(Field.MemDisableOomKiller);
    result.disableOOMKiller = memory.disableOomKiller;
  }
  if (memory.useHierarchy !== undefined) {
    claims.take(Field.MemUseHierarchy);
    result.useHierarchy = memory.useHierarchy;
  }
  return result;
}

/** Tells a plugin of limits. */
export function describeResources(resources: SpecResources): MessageInitShape<typeof LinuxResourcesSchema> {
  const { cpu, memory, hugepageLimits = [], pids, devices = [] } = resources;
  return {
    ...(cpu === undefined
      ? {}
      : {
          cpu: {
            ...(cpu.shares === undefined ? {} : { shares: BigInt(cpu.shares) }),
            ...(cpu.quota === undefined ? {} : { quota: BigInt(cpu.quota) }),
            ...(cpu.period === undefined ? {} : { period: BigInt(cpu.period) }),
            cpus: cpu.cpus ?? '',
            mems: cpu.mems ?? '',
          },
        }),
    ...(memory === undefined
      ? {}
      : {
          memory: {
            ...(memory.limit === undefined ? {} : { limit: BigInt(memory.limit) }),
            ...(memory.swap === undefined ? {} : { swap: BigInt(memory.swap) }),
            ...(memory.reservation === undefined ? {} : { reservation: BigInt(memory.reservation) }),
          },
        }),
    hugepageLimits: hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit: BigInt(limit) })),
    unified: resources.unified ?? {},
    ...(pids === undefined ? {} : { pids: { limit: BigInt(pids.limit) } }),
    devices: devices.map(({ allow, type = 'a', major, minor, access = '' }) => ({
      allow,
      type,
      access,
      ...(major === undefined ? {} : { major: BigInt(major) }),
      ...(minor === undefined ? {} : { minor: BigInt(minor) }),
    })),
  };
}
