/**
 * Filters of system calls, compiled by libseccomp to what the kernel takes: classic BPF, for seccomp(2). A filter is
 * the same on any machine of an architecture, so it can be compiled on one and used on another.
 */
import { closeSync, readFileSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import { openLibrary } from './libc.ts';
import { createMemoryFile } from './memory-file.ts';

/** A filter's description: linux.seccomp of the OCI runtime format (config-linux.md). */
export interface FilterSource {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: readonly string[];
  syscalls?: readonly FilterRule[];
}

/** System calls that share an action. */
export interface FilterRule {
  names: readonly string[];
  action: string;
  errnoRet?: number;
  args?: readonly { index: number; value: number; valueTwo?: number; op: string }[];
}

/** SECCOMP_RET_* of linux/seccomp.h; the low 16 bits carry a number. */
const actions: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x30000,
  SCMP_ACT_ERRNO: 0x50000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};
/** enum scmp_compare of seccomp.h. */
const comparisons = ['', 'NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'];
/** What ERRNO and TRACE give unless told: EPERM. */
const defaultErrno = 1;
/** SCMP_FLTATR_CTL_OPTIMIZE = 8 (seccomp.h): 2 sorts the calls into a tree, so that each takes a few steps. */
const optimize = [8, 2] as const;
/** struct scmp_arg_cmp: unsigned, enum, two 64-bit numbers. */
const comparisonBytes = 24;
/** __NR_SCMP_ERROR: the name of no call. */
const unknownCall = -1;
const EEXIST = 17;

/**
 * What compiles filters.
 *
 * @returns undefined where libseccomp is missing or older than what is used of it.
 */
export function filterCompiler(): ((source: FilterSource) => Buffer) | undefined {
  const library = openLibrary('libseccomp.so.2');
  if (library === undefined) return undefined;
  try {
    const calls = declareCalls(library);
    return (source) => compile(calls, source);
  } catch {
    return undefined;
  }
}

type Calls = ReturnType<typeof declareCalls>;

function declareCalls(library: NonNullable<ReturnType<typeof openLibrary>>) {
  return {
    init: library('void *seccomp_init(uint32_t action)') as unknown as (action: number) => unknown,
    release: library('void seccomp_release(void *filter)') as unknown as (filter: unknown) => void,
    attribute: library('int seccomp_attr_set(void *filter, int name, uint32_t value)') as unknown as (
      filter: unknown,
      name: number,
      value: number,
    ) => number,
    archOf: library('uint32_t seccomp_arch_resolve_name(const char *name)'),
    addArch: library('int seccomp_arch_add(void *filter, uint32_t arch)') as unknown as (
      filter: unknown,
      arch: number,
    ) => number,
    callOf: library('int seccomp_syscall_resolve_name(const char *name)'),
    addRule: library(
      'int seccomp_rule_add_array(void *filter, uint32_t action, int call, unsigned int count, const void *args)',
    ) as unknown as (
      filter: unknown,
      action: number,
      call: number,
      count: number,
      args: Uint8Array,
    ) => number,
    write: library('int seccomp_export_bpf(void *filter, int fd)') as unknown as (
      filter: unknown,
      fd: number,
    ) => number,
  };
}

function compile(calls: Calls, source: FilterSource): Buffer {
  const byDefault = actionOf(source.defaultAction, source.defaultErrnoRet);
  const filter = calls.init(byDefault);
  if (filter === null) throw refused('the default action', source.defaultAction);
  try {
    for (const name of source.architectures ?? []) addArchitecture(calls, filter, name);
    for (const rule of source.syscalls ?? []) {
      const action = actionOf(rule.action, rule.errnoRet);
      if (action !== byDefault) for (const name of rule.names) addRule(calls, filter, name, action, rule);
    }
    // Older ones have no trees: then the calls are compared one by one.
    calls.attribute(filter, ...optimize);
    return exported(calls, filter);
  } finally {
    calls.release(filter);
  }
}

function addArchitecture(calls: Calls, filter: unknown, name: string): void {
  const arch = calls.archOf(name.replace(/^SCMP_ARCH_/, '').toLowerCase());
  if (arch === 0) throw refused('the architecture', name);
  const result = calls.addArch(filter, arch);
  if (result < 0 && result !== -EEXIST) throw refused('the architecture', name);
}

function addRule(
  calls: Calls,
  filter: unknown,
  name: string,
  action: number,
  { args = [] }: FilterRule,
): void {
  const call = calls.callOf(name);
  // Profiles name calls of newer kernels and of other architectures.
  if (call === unknownCall) return;
  // An argument that is compared twice means either comparison: each is a rule then.
  const either = new Set(args.map(({ index }) => index)).size < args.length;
  for (const group of either ? args.map((one) => [one]) : [args])
    if (calls.addRule(filter, action, call, group.length, comparisonsOf(group)) < 0)
      throw refused('the rule for', name);
}

function comparisonsOf(args: NonNullable<FilterRule['args']>): Buffer {
  const bytes = Buffer.alloc(Math.max(1, args.length) * comparisonBytes);
  for (const [place, { index, value, valueTwo = 0, op }] of args.entries()) {
    const comparison = comparisons.indexOf(op.replace(/^SCMP_CMP_/, ''));
    if (comparison < 1) throw refused('the comparison', op);
    const at = place * comparisonBytes;
    bytes.writeUInt32LE(index, at);
    bytes.writeUInt32LE(comparison, at + 4);
    bytes.writeBigUInt64LE(BigInt(value), at + 8);
    bytes.writeBigUInt64LE(BigInt(valueTwo), at + 16);
  }
  return bytes;
}

function exported(calls: Calls, filter: unknown): Buffer {
  const fd = createMemoryFile('filter', 0);
  try {
    if (calls.write(filter, fd) < 0) throw refused('to write', 'the filter');
    return readFileSync(`/proc/self/fd/${fd}`);
  } finally {
    closeSync(fd);
  }
}

function actionOf(name: string, errno: number = defaultErrno): number {
  const action = actions[name];
  if (action === undefined) throw refused('the action', name);
  return name === 'SCMP_ACT_ERRNO' || name === 'SCMP_ACT_TRACE' ? action + (errno & 0xffff) : action;
}

function refused(what: string, name: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `The filter of system calls cannot have ${what} ${name}`);
}
