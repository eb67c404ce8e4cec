/**
 * Waits for the disk once for many: SQLite's own waiting at each commit would hold the whole server up, and a pod's life
 * has a dozen of them. Here commits go on, and whoever is about to acknowledge a call waits, on a thread of the pool and
 * together with all others, until its records are on disk.
 */
import { fdatasync } from 'node:fs';
import { promisify } from 'node:util';

/** Milliseconds after a write within which the disk has it, whether somebody waits or not. */
const atLatestMs = 500;

/** The waiting. */
export interface GroupCommit extends Disposable {
  /** Something was written. */
  written(): void;
  /** Resolves when all that was written by now is on disk. @throws what the disk said; the next call tries again. */
  synced(): Promise<void>;
}

/** @param sync makes everything durable that was written before it was called. */
export function groupCommit(sync: () => Promise<void>): GroupCommit {
  let last = 0;
  let durable = 0;
  let running: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  const round = async () => {
    const upTo = last;
    try {
      await sync();
      durable = upTo;
    } finally {
      running = undefined;
    }
  };
  const synced = async () => {
    const wanted = last;
    while (durable < wanted) {
      // What was written after a round began may have missed it.
      running ??= round();
      await running;
    }
  };
  return {
    written() {
      last += 1;
      if (timer !== undefined) return;
      timer = setTimeout(() => {
        timer = undefined;
        // Whoever acknowledges something hears of it.
        synced().catch(() => {});
      }, atLatestMs).unref();
    },
    synced,
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

/** fdatasync(2) on a thread of the pool. */
export const syncFile = promisify(fdatasync);
