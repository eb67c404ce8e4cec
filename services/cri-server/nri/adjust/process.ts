/** What a plugin changes of a container's process and annotations. A key with a leading "-" removes. */
import type { DescEnum } from '@bufbuild/protobuf';
import {
  type ContainerAdjustment,
  Field,
  IOPrioClassSchema,
  LinuxSchedulerFlagSchema,
  LinuxSchedulerPolicy,
  LinuxSchedulerPolicySchema,
} from '#contracts/nri/nri_pb.ts';
import type { ProcessSpec, RuntimeSpec } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Claims } from './claims.ts';

/** The key that a leading "-" marks for removal; undefined without the mark. */
export function removedKey(key: string): string | undefined {
  return key.startsWith('-') ? key.slice(1) : undefined;
}

/** Sets environment, arguments, limits, OOM score. */
export function adjustProcess(
  process: ProcessSpec,
  adjustment: ContainerAdjustment,
  claims: Claims,
  clampOomScore: (score: number) => number,
): ProcessSpec {
  const score = adjustment.linux?.oomScoreAdj;
  if (score !== undefined) claims.take(Field.OomScoreAdj);
  return {
    ...process,
    args: argsOf(process.args, adjustment.args, claims),
    env: envOf(process.env ?? [], adjustment.env, claims),
    rlimits: rlimitsOf(process.rlimits ?? [], adjustment.rlimits, claims),
    ...(score === undefined ? {} : { oomScoreAdj: clampOomScore(Number(score)) }),
    ...schedulingOf(adjustment, claims),
  };
}

/** I/O priority and scheduler; those of class or policy "none" are left to the system. */
function schedulingOf(
  { linux }: ContainerAdjustment,
  claims: Claims,
): Pick<ProcessSpec, 'ioPriority' | 'scheduler'> {
  const result: Pick<ProcessSpec, 'ioPriority' | 'scheduler'> = {};
  if (linux?.ioPriority !== undefined) {
    claims.take(Field.IoPriority);
    const { class: number, priority } = linux.ioPriority;
    result.ioPriority = { class: nameIn(IOPrioClassSchema, number), priority };
  }
  if (linux?.scheduler !== undefined) {
    claims.take(Field.LinuxSched);
    const { policy, nice, priority, flags, runtime, deadline, period } = linux.scheduler;
    if (policy === LinuxSchedulerPolicy.SCHED_NONE) return result;
    result.scheduler = {
      policy: nameIn(LinuxSchedulerPolicySchema, policy),
      nice,
      priority,
      flags: flags.map((flag) => nameIn(LinuxSchedulerFlagSchema, flag)),
      runtime: Number(runtime),
      deadline: Number(deadline),
      period: Number(period),
    };
  }
  return result;
}

/** The OCI's names are NRI's. */
function nameIn(schema: DescEnum, number: number): string {
  const known = schema.values.find((value) => value.number === number);
  if (known !== undefined) return known.name;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `an NRI plugin sets ${schema.name} to ${number}, which there is not`,
  );
}

function argsOf(old: string[], wanted: readonly string[], claims: Claims): string[] {
  if (wanted.length === 0) return old;
  const takesOver = wanted[0] === '';
  if (takesOver) claims.release(Field.Args);
  claims.take(Field.Args);
  return takesOver ? wanted.slice(1) : [...wanted];
}

function envOf(old: string[], wanted: ContainerAdjustment['env'], claims: Claims): string[] {
  const removed = new Set(wanted.map(({ key }) => removedKey(key)).filter((key) => key !== undefined));
  for (const key of removed) claims.release(Field.Env, key);
  const changes = new Map<string, string>();
  for (const { key, value } of wanted) {
    if (removedKey(key) !== undefined) continue;
    claims.take(Field.Env, key);
    changes.set(key, value);
  }
  const result: string[] = [];
  for (const entry of old) {
    const key = entry.split('=', 1)[0] ?? '';
    const value = changes.get(key);
    changes.delete(key);
    if (value !== undefined) result.push(`${key}=${value}`);
    else if (!removed.has(key)) result.push(entry);
  }
  return [...result, ...[...changes].map(([key, value]) => `${key}=${value}`)];
}

function rlimitsOf(
  old: NonNullable<ProcessSpec['rlimits']>,
  wanted: ContainerAdjustment['rlimits'],
  claims: Claims,
): NonNullable<ProcessSpec['rlimits']> {
  for (const { type } of wanted) claims.take(Field.Rlimits, type);
  const set = new Set(wanted.map(({ type }) => type));
  return [
    ...old.filter(({ type }) => !set.has(type)),
    ...wanted.map(({ type, soft, hard }) => ({ type, soft: Number(soft), hard: Number(hard) })),
  ];
}

/** Sets and removes the entries of a map. */
export function adjustMap(
  old: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
  claims: Claims,
  field: Field,
): Record<string, string> {
  const result = { ...old };
  for (const key of Object.keys(wanted)) {
    const removed = removedKey(key);
    if (removed === undefined) continue;
    claims.release(field, removed);
    delete result[removed];
  }
  for (const [key, value] of Object.entries(wanted)) {
    if (removedKey(key) !== undefined) continue;
    claims.take(field, key);
    result[key] = value;
  }
  return result;
}

/** Adds hooks behind those that are there; hooks never conflict. */
export function adjustHooks(
  old: RuntimeSpec['hooks'],
  wanted: ContainerAdjustment['hooks'],
): RuntimeSpec['hooks'] {
  if (wanted === undefined) return old;
  const result = { ...old };
  for (const name of [
    'prestart',
    'createRuntime',
    'createContainer',
    'startContainer',
    'poststart',
    'poststop',
  ] as const) {
    const added = wanted[name].map(({ path, args, env, timeout }) => ({
      path,
      ...(args.length === 0 ? {} : { args }),
      ...(env.length === 0 ? {} : { env }),
      ...(timeout === undefined ? {} : { timeout: Number(timeout) }),
    }));
    if (added.length > 0) result[name] = [...(result[name] ?? []), ...added];
  }
  return result;
}
