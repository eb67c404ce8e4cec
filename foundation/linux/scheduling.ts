/**
 * When a process gets its turn, by I/O priority and CPU scheduler: ioprio_set(2), sched_setattr(2). Both are of one
 * thread, survive execve(2), and are handed on to children, so a process that waits to run its program gets them once.
 */
import { SkiffError } from '#foundation/base/errors.ts';
import { check, declare } from './libc.ts';

const syscallIoprio = declare('long syscall(long number, long which, long who, long priority)');
const syscallSchedule = declare('long syscall(long number, long pid, void *attributes, long flags)');

/** Numbers of ioprio_set(2) and sched_setattr(2). */
const numbers: Readonly<Record<string, { ioprio: number; schedule: number }>> = {
  x64: { ioprio: 251, schedule: 314 },
  arm64: { ioprio: 30, schedule: 274 },
};

const IOPRIO_WHO_PROCESS = 1;
const IOPRIO_CLASS_SHIFT = 13;
/** <linux/ioprio.h>; "none" leaves it to the CPU's priority. */
const ioClasses = ['IOPRIO_CLASS_NONE', 'IOPRIO_CLASS_RT', 'IOPRIO_CLASS_BE', 'IOPRIO_CLASS_IDLE'] as const;

/** An I/O priority; 0 is the highest of a class, 7 the lowest. */
export interface IoPriority {
  class: (typeof ioClasses)[number];
  priority: number;
}

/** <linux/sched.h>. */
const policies = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
} as const;

const flagBits = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
} as const;

/** A scheduler and its parameters; times in nanoseconds. */
export interface SchedulerChoice {
  policy: keyof typeof policies;
  /** -20 to 19, for SCHED_OTHER and SCHED_BATCH. */
  nice?: number;
  /** 1 to 99, for SCHED_FIFO and SCHED_RR. */
  priority?: number;
  flags?: (keyof typeof flagBits)[];
  /** For SCHED_DEADLINE; the slice for SCHED_OTHER. */
  runtime?: number;
  deadline?: number;
  period?: number;
}

/** Sets the I/O priority of a thread. @throws SkiffError INVALID_ARGUMENT, or with errno EPERM or ESRCH. */
export function setIoPriority(pid: number, { class: name, priority }: IoPriority): void {
  const value = (ioClasses.indexOf(name) << IOPRIO_CLASS_SHIFT) | priority;
  const what = `Cannot give process ${pid} the I/O priority ${name} ${priority}`;
  // Some kernels keep the higher bits for hints.
  if (!(priority >= 0 && priority <= 7))
    throw new SkiffError('INVALID_ARGUMENT', `${what}: 0 to 7 there are`);
  check(syscallIoprio(callsOf(what).ioprio, IOPRIO_WHO_PROCESS, pid, value), what);
}

/** Sets the scheduler of a thread; 0 is the calling one. @throws SkiffError (errno EPERM, EINVAL, EBUSY, ESRCH). */
export function setScheduler(pid: number, choice: SchedulerChoice): void {
  const what = `Cannot give process ${pid} the scheduler ${choice.policy}`;
  check(syscallSchedule(callsOf(what).schedule, pid, attributesOf(choice), 0), what);
}

/** How much more the thread that is served first counts than another: about three times, sched(7). */
const firstNiceness = -5;
/**
 * Nanoseconds that it asks to run at a time. From Linux 6.12 on a thread with a short slice that wakes up takes its
 * turn before one with a longer slice that runs; older kernels do not look at this.
 */
const firstSliceNs = 300_000;

/**
 * Lets the calling thread have a processor soon whenever it has something to do, before other threads of its process:
 * for an event loop beside worker threads. Else it waits for some milliseconds, a tick of the clock, each time that all
 * processors work. What it starts from then on, threads and processes, has the usual priority.
 *
 * @throws SkiffError with errno EPERM without CAP_SYS_NICE.
 */
export function serveThisThreadFirst(): void {
  setScheduler(0, {
    policy: 'SCHED_OTHER',
    nice: firstNiceness,
    runtime: firstSliceNs,
    flags: ['SCHED_FLAG_RESET_ON_FORK'],
  });
}

/** struct sched_attr in its first version: sched_setattr(2). */
function attributesOf({ policy, nice, priority, flags = [], runtime, deadline, period }: SchedulerChoice) {
  const bytes = Buffer.alloc(48);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(policies[policy], 4);
  bytes.writeBigUInt64LE(BigInt(flags.reduce((bits, flag) => bits | flagBits[flag], 0)), 8);
  bytes.writeInt32LE(nice ?? 0, 16);
  bytes.writeUInt32LE(priority ?? 0, 20);
  bytes.writeBigUInt64LE(BigInt(runtime ?? 0), 24);
  bytes.writeBigUInt64LE(BigInt(deadline ?? 0), 32);
  bytes.writeBigUInt64LE(BigInt(period ?? 0), 40);
  return bytes;
}

function callsOf(what: string): { ioprio: number; schedule: number } {
  const calls = numbers[process.arch];
  if (calls === undefined) throw new SkiffError('UNIMPLEMENTED', `${what}: not on ${process.arch}`);
  return calls;
}
