/**
 * StopContainer: the stop signal, a wait, then SIGKILL. Callers do not wait for one another: each has its own
 * timeout, and the shortest wins. The signal is sent once, however many ask.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { longestTimerMs, nowNanos } from '#foundation/base/time.ts';
import { killCgroup } from '#foundation/linux/cgroups.ts';
import { caughtSignals, programOf, signalProcess } from '#foundation/linux/process.ts';
import type { Core } from './deps.ts';
import { hasProcess } from './lifecycle.ts';
import type { Container } from './table.ts';

const SIGKILL = 9;
/** Milliseconds a process may take to die of SIGKILL: longer means that it hangs in the kernel. */
const killPatienceMs = 60_000;

/**
 * Stops a container; one that has ended, or that there is none of, is success.
 *
 * @param timeoutSeconds how long it may take before SIGKILL; 0 for at once.
 */
export async function stopContainer(
  core: Core,
  id: string,
  timeoutSeconds: bigint,
  signal: AbortSignal,
): Promise<void> {
  if (id === '')
    throw new SkiffError('INVALID_ARGUMENT', 'Cannot stop a container: the request has no container_id');
  const container = core.table.find(id);
  if (container === undefined) return;
  if (timeoutSeconds < 0n)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `Cannot stop container "${id}": its timeout is ${timeoutSeconds}, below 0`,
    );
  try {
    await endContainer(core, container, Number(timeoutSeconds) * 1000, signal);
  } catch (error) {
    throw wrapError(error, `Cannot stop container "${id}"`);
  }
}

/** Ends a container's process and waits until its end is recorded. A created one is left as it is for `stop`. */
export async function endContainer(
  core: Core,
  container: Container,
  graceMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const { life, stopSignal } = container.record;
  if (life.phase !== 'running') return;
  if (graceMs > 0) {
    const deadline = performance.now() + graceMs;
    if (!container.stopping) {
      container.stopping = true;
      await untilCaught(container, deadline, signal);
      signalProcess(life.process, stopSignal);
    }
    if (await endedWithin(core, container, Math.max(0, deadline - performance.now()), signal)) return;
    signal?.throwIfAborted();
  }
  await killContainer(core, container);
}

/** Milliseconds from its start that a program has to say which signals it catches. */
const settlingMs = 2000;

/**
 * A signal that is sent too early is lost, and the whole grace be spent waiting; so a container that is young is given
 * a moment. Its process may still be the runtime's own (runc's catches all signals, and is replaced with the program
 * while it looks at one); and the first process of a PID namespace does not get signals that it does not catch
 * (pid_namespaces(7)), for which a program must have come so far.
 */
async function untilCaught(
  { record, starter }: Container,
  deadline: number,
  signal?: AbortSignal,
): Promise<void> {
  const { life, stopSignal, sharesPids } = record;
  if (life.phase !== 'running') return;
  const ready = () => {
    const program = programOf(life.process);
    if (program === undefined) return true;
    if (program === starter) return false;
    return sharesPids || caughtSignals(life.process)?.has(stopSignal) !== false;
  };
  const age = Number((nowNanos() - life.startedAt) / 1_000_000n);
  const end = Math.min(deadline, performance.now() + settlingMs - age);
  while (performance.now() < end && signal?.aborted !== true && !ready()) await sleep(2);
}

/** SIGKILL, and a wait until the end is recorded. */
export async function killContainer(core: Core, container: Container): Promise<void> {
  const { life, cgroupPath, sharesPids } = container.record;
  if (!hasProcess(life)) return;
  signalProcess(life.process, SIGKILL);
  if (sharesPids) await killCgroup(core.host.cgroups, cgroupPath, AbortSignal.timeout(killPatienceMs));
  if (await endedWithin(core, container, killPatienceMs)) return;
  throw new SkiffError(
    'DEADLINE_EXCEEDED',
    `process ${life.process.pid} did not end within ${killPatienceMs / 1000} s of SIGKILL; it hangs in the kernel`,
  );
}

/** Whether it ends in time. The exit file is looked for as well, should the kernel drop the event. */
async function endedWithin(
  core: Core,
  container: Container,
  ms: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), Math.min(ms, longestTimerMs));
  const look = setInterval(() => core.exits.check(container.id), 100);
  const either = signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]);
  const aborted = Promise.withResolvers<boolean>();
  either.addEventListener('abort', () => aborted.resolve(false), { once: true });
  if (either.aborted) aborted.resolve(false);
  try {
    return await Promise.race([container.ended.promise.then(() => true), aborted.promise]);
  } finally {
    clearTimeout(timer);
    clearInterval(look);
  }
}
