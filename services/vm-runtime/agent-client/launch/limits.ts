/** Limits as files of a cgroup of version 2, as crun translates them. */
import type { DeviceRule, SpecResources } from '#contracts/oci/runtime.ts';
import { isEmpty } from './known.ts';
import { NotForLaunch } from './steps.ts';

/** A file of the cgroup and what to write to it; the kernel may lack an optional one. */
export interface GroupLimit {
  file: string;
  value: string;
  optional?: boolean;
}

/** cpu.weight for cpu.shares of version 1: 2 to 262144 become 1 to 10000. */
const weightOf = (shares: number) => 1 + Math.floor(((Math.max(2, shares) - 2) * 9999) / 262142);
/** Microseconds. */
const defaultPeriod = 100_000;

/** The files of limits. @throws NotForLaunch for one that is not among them. */
export function groupLimits(resources: SpecResources): GroupLimit[] {
  const { memory = {}, cpu = {}, pids, unified = {}, devices: _, ...others } = resources;
  if (!isEmpty(others)) throw new NotForLaunch(`the limits ${Object.keys(others)}`);
  return [
    ...memoryLimits(memory),
    ...cpuLimits(cpu),
    ...(pids?.limit ? [{ file: 'pids.max', value: orMax(pids.limit) }] : []),
    ...Object.entries(unified).map(([file, value]) => unifiedLimit(file, value)),
  ];
}

function memoryLimits(memory: NonNullable<SpecResources['memory']>): GroupLimit[] {
  const { limit, swap, reservation, useHierarchy: _, ...others } = memory;
  if (!isEmpty(others)) throw new NotForLaunch(`the limits of memory ${Object.keys(others)}`);
  const limits: GroupLimit[] = [];
  if (limit) limits.push({ file: 'memory.max', value: orMax(limit) });
  if (swap) {
    if (!limit && swap > 0) throw new NotForLaunch('a limit of swap without one of memory');
    // Version 1 counts memory and swap together, version 2 swap alone. A kernel without swap has no such file.
    const value = swap < 0 ? 'max' : String(Math.max(0, swap - Math.max(0, limit ?? 0)));
    limits.push({ file: 'memory.swap.max', value, optional: true });
  }
  if (reservation) limits.push({ file: 'memory.low', value: orMax(reservation) });
  return limits;
}

function cpuLimits(cpu: NonNullable<SpecResources['cpu']>): GroupLimit[] {
  const { shares, quota, period, ...others } = cpu;
  if (!isEmpty(others)) throw new NotForLaunch(`the limits of processors ${Object.keys(others)}`);
  const limits: GroupLimit[] = [];
  if (shares) limits.push({ file: 'cpu.weight', value: String(weightOf(shares)) });
  if (quota || period)
    limits.push({ file: 'cpu.max', value: `${orMax(quota || -1)} ${period || defaultPeriod}` });
  return limits;
}

function unifiedLimit(file: string, value: string): GroupLimit {
  if (!/^[a-z]+\.[a-z0-9_.]+$/.test(file)) throw new NotForLaunch(`the file ${file}`);
  return { file, value };
}

function orMax(value: number): string {
  return value < 0 ? 'max' : String(value);
}

const kinds: Readonly<Record<string, number>> = { b: 1, c: 2 };
const accesses: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const anyAccess = 7;

/** What every container may, whatever its rules: nodes of any device, and the devices that are no hardware. */
const devicesOfAll: readonly DeviceRule[] = [
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  ...[3, 5, 7, 8, 9].map((minor) => ({ allow: true, type: 'c', major: 1, minor }) as const),
  ...[0, 1, 2].map((minor) => ({ allow: true, type: 'c', major: 5, minor }) as const),
  { allow: true, type: 'c', major: 136 },
];

/**
 * The rules for devices as a program for the kernel's BPF machine (BPF_PROG_TYPE_CGROUP_DEVICE, struct
 * bpf_cgroup_dev_ctx of linux/bpf.h): the last rule that fits decides, and without any the device is refused.
 */
export function deviceProgram(own: readonly DeviceRule[]): Buffer {
  const rules = [...own, ...devicesOfAll];
  // Behind a rule that always fits nothing is reached, which the kernel refuses.
  const last = rules.findLastIndex((rule) => ruleTests(rule).length === 0);
  const end = verdict(rules[last]?.allow ?? false);
  const blocks = rules
    .slice(last + 1)
    .toReversed()
    .map(ruleBlock);
  return Buffer.concat([
    // r1: struct bpf_cgroup_dev_ctx; r2: kind; r3: access; r4: major; r5: minor.
    instruction(0x61, 0x12, 0, 0),
    instruction(0xbc, 0x23, 0, 0),
    instruction(0x54, 2, 0, 0xffff),
    instruction(0x74, 3, 0, 16),
    instruction(0x61, 0x14, 4, 0),
    instruction(0x61, 0x15, 8, 0),
    ...blocks,
    end,
  ]);
}

/** Instructions that jump behind the block where the rule does not fit. */
type Test = (behind: number) => Buffer[];

function ruleTests({ allow, type = 'a', major, minor, access = 'rwm' }: DeviceRule): Test[] {
  const tests: Test[] = [];
  const equal = (register: number, value: number) =>
    tests.push((behind) => [instruction(0x55, register, behind, value)]);
  const kind = kinds[type];
  if (kind !== undefined) equal(2, kind);
  const mask = [...access].reduce((all, letter) => all | (accesses[letter] ?? 0), 0);
  if (mask !== anyAccess) {
    // Allowed is what asks for nothing else; forbidden what asks for any of it.
    const [wanted, jump] = allow ? [anyAccess & ~mask, 0x55] : [mask, 0x15];
    tests.push((behind) => [
      instruction(0xbc, 0x31, 0, 0),
      instruction(0x54, 1, 0, wanted),
      instruction(jump, 1, behind, 0),
    ]);
  }
  if (major !== undefined && major >= 0) equal(4, major);
  if (minor !== undefined && minor >= 0) equal(5, minor);
  return tests;
}

/** The tests, then the verdict. */
function ruleBlock(rule: DeviceRule): Buffer {
  // From the last test to the first, each knows how far the end is.
  const block: Buffer[] = [verdict(rule.allow)];
  for (const test of ruleTests(rule).toReversed())
    block.unshift(...test(block.reduce((sum, part) => sum + part.length / 8, 0)));
  return Buffer.concat(block);
}

function verdict(allow: boolean): Buffer {
  return Buffer.concat([instruction(0xb7, 0, 0, Number(allow)), instruction(0x95, 0, 0, 0)]);
}

/** struct bpf_insn; `registers` has the source in its high half. */
function instruction(code: number, registers: number, offset: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8(registers, 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(value, 4);
  return bytes;
}
