/** What happened in a pod: kept in memory and in a file, so that those who come later, and after a crash, see it. */
import { appendFileSync, readFileSync } from 'node:fs';
import { replaceFileSync } from '#foundation/base/files.ts';
import { nowNanos } from '#foundation/base/time.ts';
import type { ExitRecord } from './records.ts';

/** Kinds, as contracts/vm/supervisor.proto names them. */
export type PodEventKind =
  | 'POD_READY'
  | 'POD_ENDED'
  | 'CONTAINER_CREATED'
  | 'CONTAINER_STARTED'
  | 'CONTAINER_EXITED'
  | 'CONTAINER_DELETED'
  | 'CONTAINER_PAUSED'
  | 'CONTAINER_RESUMED'
  | 'CONTAINER_OOM'
  | 'EXEC_STARTED'
  | 'EXEC_EXITED'
  | 'EVENTS_LOST';

/** One event. */
export interface PodEvent {
  sequence: number;
  /** Nanoseconds since the epoch, in decimal. */
  at: string;
  kind: PodEventKind;
  container?: string;
  exec?: string;
  exit?: ExitRecord;
  reason?: string;
}

/** How many are kept. */
const kept = 512;

/** The events of a pod. */
export interface PodEvents {
  emit(kind: PodEventKind, what?: Omit<PodEvent, 'sequence' | 'at' | 'kind'>): void;
  /**
   * What is kept after `sequence`, then, unless `onlyKept`, what follows until the signal aborts or the log is closed.
   * A reader that is too slow for what is kept is told of the loss.
   */
  watch(after: number, onlyKept: boolean, signal: AbortSignal): AsyncGenerator<PodEvent>;
  /** No more events: those who watch get the rest and then the end. */
  close(): void;
}

/** Opens the event log at `path`, or begins it. */
export function openEvents(path: string): PodEvents {
  let events = readEvents(path);
  let lines = events.length;
  let next = (events.at(-1)?.sequence ?? 0) + 1;
  let closed = false;
  const wakers = new Set<() => void>();
  const wake = () => {
    for (const waker of [...wakers]) waker();
  };
  const write = (event: PodEvent) => {
    try {
      if (lines < 2 * kept) appendFileSync(path, `${JSON.stringify(event)}\n`, { mode: 0o600 });
      else
        replaceFileSync(path, events.map((one) => `${JSON.stringify(one)}\n`).join(''), { durable: false });
      lines = lines < 2 * kept ? lines + 1 : events.length;
    } catch {
      // A full disk must not end the pod; those who watch now still see the event.
    }
  };
  return {
    emit(kind, what = {}) {
      const event: PodEvent = { sequence: next, at: String(nowNanos()), kind, ...what };
      next += 1;
      events = [...events.slice(-kept + 1), event];
      write(event);
      wake();
    },
    async *watch(after, onlyKept, signal) {
      let seen = after;
      for (;;) {
        const oldest = events[0]?.sequence ?? next;
        if (seen > 0 && oldest > seen + 1)
          yield { sequence: oldest - 1, at: String(nowNanos()), kind: 'EVENTS_LOST' };
        for (const event of events.filter(({ sequence }) => sequence > seen)) {
          yield event;
          seen = event.sequence;
        }
        if ((events.at(-1)?.sequence ?? 0) > seen) continue;
        if (onlyKept || closed || signal.aborted) return;
        await changed(wakers, signal);
      }
    },
    close() {
      closed = true;
      wake();
    },
  };
}

function changed(wakers: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      wakers.delete(done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    wakers.add(done);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** A line that a crash cut off is the last one, and no loss: nobody has seen it. */
function readEvents(path: string): PodEvent[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as PodEvent];
      } catch {
        return [];
      }
    })
    .slice(-kept);
}
