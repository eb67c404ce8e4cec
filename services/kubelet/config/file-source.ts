/**
 * Static pods from a manifest file, or a flat directory of them. inotify tells of changes at once; the whole
 * is read again every so often all the same, since events can be lost (kubelet-facts 1).
 */
import { constants, type FSWatcher, watch } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { errnoOf, messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { fullName } from '../pods/identity.ts';
import { decodeElsewhere } from './decode-worker.ts';
import { toStaticPod } from './static-pod.ts';

/** Bytes of a manifest; larger files are refused. */
const maxManifestBytes = 10 * 1024 * 1024;
/** Characters of a manifest that is decoded in a thread of its own; ordinary ones have a few thousand. */
const largeManifest = 256 * 1024;
/** Milliseconds to wait after an event: editors write, rename and remove in one go. */
const settleMs = 3;

export interface FileSourceDeps {
  path: string;
  nodeName: string;
  /** Decodes, defaults and validates one Pod. @throws SkiffError with line and field. */
  decodePod(text: string, name: string): Pod;
  /** Does so for a large one without keeping others waiting; in a thread of its own unless told. */
  decodeLarge?(text: string, name: string): Promise<Pod>;
  /** Takes the full set. */
  emit(pods: Pod[]): void;
  /** Milliseconds between full reads: `fileCheckFrequency`. */
  everyMs: number;
  clock: Clock;
  logger: Logger;
}

/** Reads until the signal aborts. */
export async function runFileSource(deps: FileSourceDeps, signal: AbortSignal): Promise<void> {
  const complained = new Map<string, string>();
  let wakeUp = Promise.withResolvers<void>();
  const known: Reading = { files: new Map(), large: new Map(), decoded: () => wakeUp.resolve() };
  using watcher = watchPath(deps, () => wakeUp.resolve());
  let woken = false;
  while (!signal.aborted) {
    wakeUp = Promise.withResolvers<void>();
    watcher.ensure();
    const pods = await readAll(deps, known, complained, woken);
    if (pods !== undefined) deps.emit(pods);
    const timer = new AbortController();
    const wait = deps.clock.sleep(deps.everyMs, AbortSignal.any([signal, timer.signal])).catch(() => {});
    woken = await Promise.race([wait.then(() => false), wakeUp.promise.then(() => true)]);
    timer.abort();
    if (woken && !signal.aborted) await deps.clock.sleep(settleMs, signal).catch(() => {});
  }
}

/** What a file held when it was last read: an unchanged one is not parsed again. */
interface Known {
  stamp: string;
  /** Beside a mistake: the pod before it. */
  pod?: Pod;
  error?: unknown;
}

interface Reading {
  files: Map<string, Known>;
  /** Large files that are being decoded, with their stamp. */
  large: Map<string, string>;
  /** Told when one of them was. */
  decoded(): void;
}

/**
 * Of two files with a pod of the same name the last one counts, as in the original.
 *
 * @returns undefined if it cannot be said which files there are: then the pods stay as they are.
 */
async function readAll(
  deps: FileSourceDeps,
  known: Reading,
  complained: Map<string, string>,
  justWritten: boolean,
): Promise<Pod[] | undefined> {
  const pods = new Map<string, { pod: Pod; path: string }>();
  const files = await listFiles(deps, complained);
  if (files === undefined) return undefined;
  const take = (pod: Pod, path: string) => {
    const name = fullName(pod);
    const other = pods.get(name)?.path;
    if (other !== undefined)
      complain(
        deps,
        complained,
        `${other} ${path}`,
        `${path} has a pod of the name of that in ${other}, which is left out`,
      );
    pods.set(name, { pod, path });
  };
  for (const path of [...known.files.keys()]) if (!files.includes(path)) known.files.delete(path);
  for (const path of files) {
    // A file that is being written must not end its pod: what it held last counts until the next full read.
    const last = known.files.get(path)?.pod;
    try {
      const pod = await readPod(deps, path, known);
      if (pod !== undefined) take(pod, path);
      complained.delete(path);
    } catch (error) {
      // Removed since it was listed; so is its pod.
      if (errnoOf(error) === 'ENOENT') continue;
      if (justWritten && last !== undefined) take(last, path);
      else known.files.set(path, { stamp: '', ...known.files.get(path), pod: undefined });
      // One bad file must not keep the others from running.
      complain(deps, complained, path, messageOf(error));
    }
  }
  return [...pods.values()].map(({ pod }) => pod);
}

/** Reports each mistake once, until it is another one or was mended. */
function complain(
  { logger }: FileSourceDeps,
  before: Map<string, string>,
  path: string,
  error: string,
): void {
  if (before.get(path) !== error) logger.error({ path, error }, 'Cannot use a manifest');
  before.set(path, error);
}

/** @returns none for a path that does not exist, undefined for one that cannot be read. */
async function listFiles(
  deps: FileSourceDeps,
  complained: Map<string, string>,
): Promise<string[] | undefined> {
  const { path } = deps;
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const entries = await readdir(path, { withFileTypes: true });
    complained.delete(path);
    const names = entries.filter((entry) => !entry.name.startsWith('.') && !entry.isDirectory());
    return names.map((entry) => join(path, entry.name)).sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    complain(deps, complained, path, `${messageOf(error)}; the pods stay as they were`);
    return undefined;
  }
}

async function readPod(deps: FileSourceDeps, path: string, known: Reading): Promise<Pod | undefined> {
  // Nobody may ever write into a FIFO that somebody put here: open(2) would wait for that.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = await file.stat({ bigint: true });
  if (!stats.isFile()) throw new SkiffError('INVALID_ARGUMENT', 'it is not a regular file');
  const stamp = `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
  const before = known.files.get(path);
  if (before?.stamp === stamp) return podOf(before);
  if (stats.size > maxManifestBytes) {
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `it has ${stats.size} bytes; at most ${maxManifestBytes} are read`,
    );
  }
  if (known.large.get(path) === stamp) return before?.pod;
  const text = await file.readFile('utf8');
  if (text.trim() === '') throw new SkiffError('INVALID_ARGUMENT', `it is empty`);
  if (text.length > largeManifest) {
    void readLarge(deps, path, text, stamp, known);
    return before?.pod;
  }
  const read = outcomeOf(stamp, before?.pod, () =>
    toStaticPod(deps.decodePod(text, path), deps.nodeName, { source: 'file', path }),
  );
  known.files.set(path, read);
  return podOf(read);
}

/** Decodes while others are read; the pod it held before stays meanwhile. */
async function readLarge(
  { decodeLarge = decodeElsewhere, nodeName }: FileSourceDeps,
  path: string,
  text: string,
  stamp: string,
  known: Reading,
): Promise<void> {
  const before = known.files.get(path);
  known.large.set(path, stamp);
  const decoded = await decodeLarge(text, path).then(
    (pod) => outcomeOf(stamp, before?.pod, () => toStaticPod(pod, nodeName, { source: 'file', path })),
    (error: unknown): Known => ({ stamp, error, pod: before?.pod }),
  );
  if (known.large.get(path) !== stamp) return; // Written again meanwhile.
  known.large.delete(path);
  known.files.set(path, decoded);
  known.decoded();
}

function outcomeOf(stamp: string, before: Pod | undefined, work: () => Pod): Known {
  try {
    return { stamp, pod: work() };
  } catch (error) {
    return { stamp, error, pod: before };
  }
}

function podOf({ pod, error }: Known): Pod | undefined {
  if (error !== undefined) throw error;
  return pod;
}

/** Watches a path that may not exist yet: then its parent. */
function watchPath({ path, logger }: FileSourceDeps, changed: () => void) {
  const watchers: FSWatcher[] = [];
  const close = () => {
    for (const watcher of watchers.splice(0)) watcher.close();
  };
  const add = (target: string, matters: (name: string | null) => boolean) => {
    const watcher = watch(target, { persistent: false }, (_, name) => {
      if (matters(name)) changed();
    });
    watcher.on('error', (error) => {
      logger.warn({ path, error: messageOf(error) }, 'The watch of the manifests broke; polling goes on');
      close();
    });
    watchers.push(watcher);
  };
  return {
    /** Watches again if the last watch broke, or could not begin. */
    ensure() {
      if (watchers.length > 1) return;
      close();
      tryAdd(() => add(dirname(path), (name) => name === basename(path)));
      tryAdd(() => add(path, (name) => name === null || !name.startsWith('.')));
    },
    [Symbol.dispose]: close,
  };
}

function tryAdd(add: () => void): void {
  try {
    add();
  } catch {
    // Not there yet, or out of watches: polling finds it.
  }
}
