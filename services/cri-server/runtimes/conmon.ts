/**
 * conmon (https://github.com/containers/conmon), the process that stays with each container: it holds its
 * output, writes the log in CRI format, serves attach, and leaves the exit code in a file. It outlives the
 * server, so a restart of the server does not touch containers.
 *
 * It tells the outcome of the runtime's `create` through a pipe whose number is in `_OCI_SYNCPIPE`: one line,
 * `{"pid": 123}` or `{"pid": -1, "message": "..."}`.
 */
import { closeSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CreateRequest, MonitorPaths } from '#contracts/oci/runtime-driver.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { identify, isRunning, killProcessTree, type ProcessIdentity } from '#foundation/linux/process.ts';
import { openPipe, pipeStream, type Spawner } from '#foundation/linux/spawn.ts';
import { outputPipe } from '#foundation/linux/spawn-command.ts';

/** What starting conmon takes. */
export interface ConmonDeps {
  spawner: Spawner;
  /** Path of conmon. */
  conmon: string;
  paths: MonitorPaths;
  /** Milliseconds until a create that does not answer is given up. */
  timeoutMs: number;
}

/** The runtime that conmon calls. */
export interface MonitoredRuntime {
  name: string;
  path: string;
  /** Put before the runtime's own command: `--root=...`. */
  globalArgs: readonly string[];
}

/** The uuid that names a container's attach directory: short, since a socket's path has 107 bytes at most. */
export function attachName(id: string): string {
  return id.slice(0, 16);
}

/**
 * Starts conmon, which creates the container.
 *
 * @returns the process id of the container's first process.
 * @throws SkiffError INTERNAL with what the runtime said; DEADLINE_EXCEEDED when nothing came in time.
 */
export async function createMonitored(
  deps: ConmonDeps,
  runtime: MonitoredRuntime,
  request: CreateRequest,
  signal?: AbortSignal,
): Promise<{ pid: number }> {
  const errors = outputPipe(64 * 1024);
  const sync = openPipe();
  const stream = pipeStream(sync.read, 'read');
  const pidFile = pidFileOf(request.bundle);
  rmSync(pidFile, { force: true });
  try {
    try {
      deps.spawner.spawn({
        file: deps.conmon,
        args: conmonArgs(deps, runtime, request, pidFile),
        env: { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin', _OCI_SYNCPIPE: '3' },
        fds: { 2: errors.writeFd, 3: sync.write },
        cwd: request.bundle,
      });
    } finally {
      closeSync(errors.writeFd);
      closeSync(sync.write);
    }
    const line = await firstLine(stream, deps.timeoutMs, signal);
    if (line.kind === 'line') return { pid: pidOf(line.text, runtime.name) };
    killMonitor(pidFile);
    if (line.kind === 'cancelled') throw new SkiffError('CANCELLED', 'the call was cancelled');
    const said = (await errors.untilIdle()).toString().trim();
    if (line.kind === 'late')
      throw new SkiffError('DEADLINE_EXCEEDED', `${runtime.name} did not answer within ${deps.timeoutMs} ms`);
    throw new SkiffError('INTERNAL', `conmon ended without an answer${said === '' ? '' : `: ${said}`}`);
  } finally {
    stream.destroy();
    errors.close();
  }
}

function conmonArgs(
  deps: ConmonDeps,
  runtime: MonitoredRuntime,
  request: CreateRequest,
  pidFile: string,
): string[] {
  const args = [
    '--cid', request.id,
    '--cuuid', attachName(request.id),
    '--name', request.id,
    '--runtime', runtime.path,
    '--bundle', request.bundle,
    '--persist-dir', request.bundle,
    '--exit-dir', deps.paths.exits,
    '--socket-dir-path', deps.paths.attach,
    '--container-pidfile', join(request.bundle, 'pid'),
    '--conmon-pidfile', pidFile,
    '--log-path', request.logPath === undefined ? 'none' : `k8s-file:${request.logPath}`,
    '--log-level', 'error',
    '--no-sync-log',
  ]; // biome-ignore format: options stand beside their values
  for (const argument of runtime.globalArgs) args.push('--runtime-arg', argument);
  if (request.spec.process.terminal === true) args.push('--terminal');
  if (request.stdin) args.push('--stdin');
  if (request.stdin && request.stdinStaysOpen) args.push('--leave-stdin-open');
  if (request.restoreFrom !== undefined) args.push('--restore', request.restoreFrom);
  return args;
}

type SyncLine = { kind: 'line'; text: string } | { kind: 'ended' | 'late' | 'cancelled' };

function firstLine(
  stream: NodeJS.ReadableStream,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<SyncLine> {
  return new Promise((resolve) => {
    let text = '';
    const timer = setTimeout(() => done({ kind: 'late' }), timeoutMs);
    const cancel = () => done({ kind: 'cancelled' });
    const done = (result: SyncLine) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
      resolve(result);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted) cancel();
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const end = text.indexOf('\n');
      if (end >= 0) done({ kind: 'line', text: text.slice(0, end) });
    });
    stream.once('end', () => done({ kind: 'ended' }));
    stream.once('error', () => done({ kind: 'ended' }));
  });
}

function pidOf(line: string, runtime: string): number {
  let answer: { pid?: unknown; message?: unknown };
  try {
    answer = JSON.parse(line);
  } catch {
    throw new SkiffError('INTERNAL', `conmon answered with rubbish: ${line.slice(0, 200)}`);
  }
  if (typeof answer.pid === 'number' && answer.pid > 0) return answer.pid;
  const said = typeof answer.message === 'string' ? runtimeMessage(answer.message) : 'it gave no reason';
  throw new SkiffError('INTERNAL', `${runtime}: ${said}`);
}

/** The reason in what a runtime wrote: runc logs `time=... level=error msg="..."`, crun plain or dated lines. */
export function runtimeMessage(text: string): string {
  const lines = text
    .trim()
    .split('\n')
    .filter((line) => line !== '');
  const errors = lines.filter((line) => !/level=(warning|info|debug)/.test(line));
  const last = (errors.length > 0 ? errors : lines).at(-1) ?? 'it gave no reason';
  const quoted = /msg=("(?:[^"\\]|\\.)*")/.exec(last)?.[1];
  const plain = quoted === undefined ? last : unquote(quoted);
  return plain.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z?:? /, '').slice(0, 2000);
}

function unquote(text: string): string {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Ends a conmon that did not get to its answer, and the runtime below it. */
export function killMonitor(pidFile: string): void {
  const identity = monitorOf(pidFile);
  if (identity !== undefined) killProcessTree(identity);
}

/**
 * Waits for the conmon of a container that was deleted by force: it writes the exit file before it ends, and whoever
 * removed that file earlier would find it again. One that does not end within 2 s is killed.
 */
export async function monitorEnded(bundle: string): Promise<void> {
  const pidFile = pidFileOf(bundle);
  const identity = monitorOf(pidFile);
  if (identity === undefined) return;
  for (const deadline = Date.now() + 2000; isRunning(identity); await sleep(5))
    if (Date.now() > deadline) return killMonitor(pidFile);
}

function pidFileOf(bundle: string): string {
  return join(bundle, 'conmon.pid');
}

function monitorOf(pidFile: string): ProcessIdentity | undefined {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'));
    return Number.isInteger(pid) && pid > 1 ? identify(pid) : undefined;
  } catch {
    return undefined;
  }
}
