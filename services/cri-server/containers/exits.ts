/**
 * Learns how containers end: conmon leaves a file with the exit code, named by the container's id, in one
 * directory, which is watched (inotify). A slow look at each process catches what no file tells: a conmon
 * that was killed, a full disk, an event that the kernel dropped.
 */
import { type FSWatcher, readdirSync, readFileSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { isRunning, type ProcessIdentity } from '#foundation/linux/process.ts';

/** How a container ended. */
export interface ObservedExit {
  /** Undefined if nobody saw it. */
  exitCode?: number;
  /** Nanoseconds since the epoch. */
  finishedAt: bigint;
}

/** Watches the exits of containers. */
export interface ExitWatcher extends Disposable {
  /** From now on `onExit` is called once when that container ends; at once if it has. */
  watch(id: string, process: ProcessIdentity): void;
  /** Forgets a container. */
  unwatch(id: string): void;
  /** Looks now. */
  check(id: string): void;
}

/** What the watcher needs. */
export interface ExitWatcherDeps {
  /** conmon's exit directory; it exists. */
  directory: string;
  onExit: (id: string, exit: ObservedExit) => void;
  /** Milliseconds between looks at processes; 2,000 unless told. */
  pollMs?: number;
}

interface Watched {
  process: ProcessIdentity;
  /** Since when its process is gone without a file, in looks. */
  goneLooks: number;
}

/** Looks without a file until a dead process counts as ended with an unknown code. */
const patience = 2;

/** Starts watching. */
export function exitWatcher({ directory, onExit, pollMs = 2000 }: ExitWatcherDeps): ExitWatcher {
  const watched = new Map<string, Watched>();
  const check = (id: string) => {
    if (!watched.has(id)) return;
    const exit = readExit(join(directory, id));
    if (exit === undefined) return;
    watched.delete(id);
    onExit(id, exit);
  };
  const poll = () => {
    if (watched.size === 0) return;
    // One look at the directory: to ask for each file, of which hardly any is there, would cost more than all else.
    const written = new Set(namesIn(directory));
    for (const [id, entry] of [...watched]) {
      if (written.has(id)) check(id);
      if (!watched.has(id) || isRunning(entry.process)) continue;
      entry.goneLooks += 1;
      if (entry.goneLooks <= patience) continue;
      watched.delete(id);
      onExit(id, { finishedAt: BigInt(Date.now()) * 1_000_000n });
    }
  };
  const watcher = watchDirectory(directory, check);
  const timer = setInterval(poll, pollMs);
  timer.unref();
  return {
    watch(id, process) {
      watched.set(id, { process, goneLooks: 0 });
      check(id);
    },
    unwatch: (id) => void watched.delete(id),
    check,
    [Symbol.dispose]: () => {
      watcher?.close();
      clearInterval(timer);
    },
  };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // Processes without it are found dead all the same.
  }
}

/** Without inotify (its limits are the whole machine's) the polling still sees every exit, a little later. */
function watchDirectory(directory: string, check: (id: string) => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, { persistent: false }, (_event, name) => {
      if (name !== null) check(name);
    });
    watcher.on('error', () => {});
    return watcher;
  } catch {
    return undefined;
  }
}

/** Reads an exit file; undefined if there is none or it is not whole yet. */
export function readExit(path: string): ObservedExit | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim();
    const { mtimeNs } = statSync(path, { bigint: true });
    return /^-?\d+$/.test(text) ? { exitCode: Number(text) & 0xff, finishedAt: mtimeNs } : undefined;
  } catch {
    return undefined;
  }
}
