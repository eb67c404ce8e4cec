/**
 * Keeps container logs small: a log that has grown too large is renamed, the runtime reopens it, and older ones are
 * compressed and, beyond a number, deleted.
 *
 * ```
 * 0.log                        the runtime writes here
 * 0.log.20261121-093000        the last one rotated, left plain for readers that still follow it
 * 0.log.20261121-092000.gz     older ones
 * ```
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { CriClient } from '#contracts/cri/client.ts';
import { ContainerState } from '#contracts/cri/runtime_pb.ts';
import { errnoOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { type Repeating, repeat } from '#foundation/base/repeat.ts';
import type { Clock } from '#foundation/base/time.ts';

/** What rotation needs. */
export interface RotationDeps {
  cri: Pick<CriClient['runtime'], 'listContainers' | 'containerStatus' | 'reopenContainerLog'>;
  clock: Clock;
  log: Logger;
  /** Bytes after which a log is rotated; negative for never. */
  maxSize: number;
  /** Files of a container with the one being written: at least 2. */
  maxFiles: number;
  /** How many logs are rotated at the same time: `containerLogMaxWorkers`. */
  workers: number;
  /** Milliseconds between looks. */
  intervalMs: number;
}

/** Starts looking at the logs of running containers. */
export function startLogRotation(deps: RotationDeps): Repeating {
  const paths = new Map<string, string>();
  return repeat({
    clock: deps.clock,
    pauseMs: () => deps.intervalMs,
    delayMs: deps.intervalMs,
    round: (signal) => rotateAll(deps, paths, signal),
    onError: (error) => deps.log.warn({ err: error }, 'cannot look at the logs of containers'),
  });
}

/** One look. @param paths log paths by container id, kept between looks: they never change. */
export async function rotateAll(
  deps: RotationDeps,
  paths: Map<string, string>,
  signal: AbortSignal,
): Promise<void> {
  if (deps.maxSize < 0) return;
  const filter = { state: { state: ContainerState.CONTAINER_RUNNING } };
  const { containers } = await deps.cri.listContainers({ filter }, { signal });
  const ids = new Set(containers.map(({ id }) => id));
  for (const id of paths.keys()) if (!ids.has(id)) paths.delete(id);
  const waiting = [...ids];
  const work = async () => {
    for (let id = waiting.shift(); id !== undefined && !signal.aborted; id = waiting.shift())
      await rotateIfLarge(deps, paths, id, signal);
  };
  await Promise.all(Array.from({ length: deps.workers }, work));
}

async function rotateIfLarge(
  deps: RotationDeps,
  paths: Map<string, string>,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    const path = paths.get(id) ?? (await logPathOf(deps, id, signal));
    paths.set(id, path);
    if (path !== '' && (await sizeOf(path)) >= deps.maxSize) await rotateLog(deps, id, path);
  } catch (error) {
    deps.log.warn({ containerId: id, err: error }, 'cannot rotate the log of a container');
  }
}

async function logPathOf({ cri }: RotationDeps, containerId: string, signal: AbortSignal): Promise<string> {
  const { status } = await cri.containerStatus({ containerId }, { signal });
  return status?.logPath ?? '';
}

/** Rotates one log. @throws what the runtime says when it does not reopen it; the log then has its name again. */
async function rotateLog(deps: RotationDeps, containerId: string, path: string): Promise<void> {
  const kept = await removeExcess(await rotatedLogs(path), deps.maxFiles - 2);
  for (const old of kept) if (!old.endsWith('.gz')) await compress(old);
  const rotated = `${path}.${stamp(new Date(deps.clock.now()))}`;
  await rename(path, rotated);
  try {
    await deps.cri.reopenContainerLog({ containerId }, { timeoutMs: 30_000 });
  } catch (error) {
    await rename(rotated, path);
    throw error;
  }
}

/** The rotated logs beside `path`, oldest first; what a crash left half-done is cleaned up. */
async function rotatedLogs(path: string): Promise<string[]> {
  const names = (await readdir(dirname(path))).filter((name) => name.startsWith(`${basename(path)}.`));
  const kept: string[] = [];
  for (const name of names.sort()) {
    const unfinished = name.endsWith('.tmp');
    const compressedToo = names.includes(`${name}.gz`);
    if (unfinished || compressedToo) await rm(join(dirname(path), name), { force: true });
    else kept.push(join(dirname(path), name));
  }
  return kept;
}

async function removeExcess(logs: string[], max: number): Promise<string[]> {
  const excess = logs.slice(0, Math.max(0, logs.length - max));
  for (const old of excess) await rm(old, { force: true });
  return logs.slice(excess.length);
}

async function compress(path: string): Promise<void> {
  const temporary = `${path}.gz.tmp`;
  await pipeline(createReadStream(path), createGzip(), createWriteStream(temporary, { mode: 0o640 }));
  await rename(temporary, `${path}.gz`);
  await rm(path);
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0; // Between a rename and the runtime's reopening.
    throw error;
  }
}

/** `20261121-093000`, local time as the original's. */
function stamp(time: Date): string {
  const two = (number: number) => String(number).padStart(2, '0');
  const day = `${time.getFullYear()}${two(time.getMonth() + 1)}${two(time.getDate())}`;
  return `${day}-${two(time.getHours())}${two(time.getMinutes())}${two(time.getSeconds())}`;
}
