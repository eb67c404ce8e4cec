/**
 * Watches the event loop: how late a timer comes that is due every few milliseconds, and where that time went, by the
 * kernel's account of the thread (/proc/PID/task/TID/schedstat, proc_pid_schedstat in the kernel's sched-stats.rst).
 */
import { closeSync, openSync, readSync } from 'node:fs';

/** A turn of the event loop that let a timer come late. Milliseconds. */
export interface LateTurn {
  /** How late. */
  lateMs: number;
  /** Of it and of the timer's interval: processor time of the thread, the loop's own work. */
  workMs: number;
  /** Waiting for a processor that others had: worker threads, the registry, other programs of the machine. */
  waitMs: number;
  /** The rest beyond the interval: asleep in system calls that wait for the disk or a lock. */
  asleepMs: number;
}

/** What was seen. */
export interface LoopFigures {
  /** The turn that came latest. */
  latest: LateTurn;
  /** The most processor time that the loop took between two timers. */
  mostWorkMs: number;
}

/** Milliseconds between two timers. Each costs some microseconds: every millisecond they would count themselves. */
const everyMs = 3;

/** Starts to watch the calling thread, which must be the process's first. @returns how to stop. */
export function watchLoop(): () => LoopFigures {
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  const bytes = Buffer.alloc(128);
  const look = () => {
    const length = readSync(file, bytes, 0, bytes.length, 0);
    const [run = 0, wait = 0] = bytes.toString('latin1', 0, length).split(' ').map(Number);
    return { at: performance.now(), workMs: run / 1e6, waitMs: wait / 1e6 };
  };
  const figures: LoopFigures = {
    latest: { lateMs: 0, workMs: 0, waitMs: 0, asleepMs: 0 },
    mostWorkMs: 0,
  };
  let before = look();
  const turn = () => {
    const now = look();
    const lateMs = now.at - before.at - everyMs;
    const [workMs, waitMs] = [now.workMs - before.workMs, now.waitMs - before.waitMs];
    before = now;
    figures.mostWorkMs = Math.max(figures.mostWorkMs, workMs);
    if (lateMs <= figures.latest.lateMs) return;
    figures.latest = { lateMs, workMs, waitMs, asleepMs: Math.max(0, lateMs - workMs - waitMs) };
  };
  const timer = setInterval(turn, everyMs);
  return () => {
    clearInterval(timer);
    turn();
    closeSync(file);
    return figures;
  };
}
