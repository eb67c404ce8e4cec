/** A place for tests of `skiff-vm` with real VMs: a root of its own, bundles with busybox, and callers as conmon is one. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { makeBusyboxRoot } from '../containers-fixture.ts';
import { leakCheck } from '../leaks.ts';
import { testSpec } from './pod-fixture.ts';

/** The program. */
export const skiffVm = fileURLToPath(new URL('../../skiff-vm', import.meta.url));
/** Milliseconds for whatever needs a boot, on a machine that is busy with other tests. */
export const patientMs = 120_000;

/** How a command ended. */
export interface Ran {
  code: number;
  out: string;
  err: string;
}

/** The place. */
export interface OciStage {
  root: string;
  /** Runs `skiff-vm --root ROOT ...`. */
  vm(...args: string[]): Ran;
  /** The same with bytes for standard input. */
  vmWith(input: Buffer, ...args: string[]): Ran & { bytes: Buffer };
  /** The same beside the test. */
  background(...args: string[]): Promise<Ran>;
  /** The same for what leaves a shim behind: waits for the command only; its words come by the log. */
  detached(...args: string[]): Promise<Ran>;
  bundle(id: string, script: string, change?: (spec: RuntimeSpec) => void): string;
  /** Creates through conmon. @returns where its log and exit code come. */
  conmon(id: string, bundle: string, ...options: string[]): Promise<MonitoredContainer>;
  /** What `pod list` tells. */
  pods(): PodDescription[];
}

/** A container that conmon looks after. */
export interface MonitoredContainer {
  pid: number;
  bundle: string;
  log(): string;
  exit(): Promise<number>;
}

/** A line of `pod list`. */
export interface PodDescription {
  id: string;
  state: string;
  vmmPid: number;
  supervisorPid: number;
  consolePath: string;
  socket: string;
}

/**
 * Waits until something is so.
 * @param shown what there is instead, for the error
 */
export async function until(
  what: () => boolean,
  name: string,
  shown: () => string = () => '',
): Promise<void> {
  const end = performance.now() + patientMs;
  while (!what()) {
    if (performance.now() > end) {
      throw new Error(`${name} did not happen within ${patientMs / 1000} s ${shown()}`.trim());
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Makes the place; what is left of it on the machine is an error of the test. */
export function ociStage(t: TestContext): OciStage {
  const directory = mkdtempSync('/tmp/skiff-vo');
  const root = join(directory, 'r');
  const leaks = leakCheck(directory);
  const vm = (...args: string[]) => run(['--root', root, ...args]);
  t.after(async () => {
    for (const { id } of pods()) vm('pod', 'delete', id);
    rmSync(directory, { recursive: true, force: true });
    await leaks.assertClean(10_000);
  });
  const pods = () =>
    vm('pod', 'list')
      .out.split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as PodDescription);
  return {
    root,
    vm,
    vmWith: (input, ...args) => run(['--root', root, ...args], input),
    background: (...args) => start(['--root', root, ...args]),
    detached: (...args) => detached(directory, ['--root', root, ...args]),
    pods,
    bundle(id, script, change) {
      const bundle = join(directory, 'b', id);
      rmSync(bundle, { recursive: true, force: true });
      makeBusyboxRoot(join(bundle, 'rootfs'));
      const spec = testSpec(['sh', '-c', script]);
      change?.(spec);
      writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec));
      return bundle;
    },
    conmon: (id, bundle, ...options) => monitored(directory, root, id, bundle, options),
  };
}

function run(args: string[], input: Buffer = Buffer.alloc(0)): Ran & { bytes: Buffer } {
  const result = spawnSync(skiffVm, args, { input, timeout: patientMs, maxBuffer: 2 ** 28 });
  // None where it did not end by itself: a time-out.
  const code = result.status ?? 255;
  return { code, bytes: result.stdout, out: result.stdout.toString(), err: result.stderr.toString() };
}

function start(args: string[]): Promise<Ran> {
  const child = spawn(skiffVm, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ran: Ran = { code: 255, out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    ran.out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    ran.err += chunk.toString();
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ ...ran, code: code ?? 255 })));
}

function detached(directory: string, args: string[]): Promise<Ran> {
  const log = join(directory, `log-${randomBytes(4).toString('hex')}`);
  const child = spawn(skiffVm, ['--log', log, ...args], { stdio: 'ignore' });
  return new Promise((resolve) =>
    child.once('exit', (code) => {
      const err = existsSync(log) ? readFileSync(log, 'utf8') : '';
      resolve({ code: code ?? 255, out: '', err });
    }),
  );
}

async function monitored(
  directory: string,
  root: string,
  id: string,
  bundle: string,
  options: string[],
): Promise<MonitoredContainer> {
  const exits = join(directory, 'exits');
  for (const path of [exits, join(directory, 'a')]) mkdirSync(path, { recursive: true });
  const pidFile = join(bundle, 'pid');
  const log = join(bundle, 'log');
  execFileSync(
    'conmon',
    [
      '--cid', id, '--cuuid', id, '--name', id, '--runtime', skiffVm, '--bundle', bundle, '--persist-dir', bundle,
      '--exit-dir', exits, '--socket-dir-path', join(directory, 'a'), '--container-pidfile', pidFile,
      '--log-path', `k8s-file:${log}`, '--log-level', 'error', '--no-sync-log',
      '--runtime-arg', `--root=${root}`, ...options,
    ], // biome-ignore format: options stand beside their values
    { cwd: bundle, timeout: patientMs, stdio: 'ignore' },
  );
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  await until(() => Number(read(pidFile)) > 0, `the create of ${id}`);
  return {
    bundle,
    pid: Number(read(pidFile)),
    log: () => read(log),
    async exit() {
      await until(() => read(join(exits, id)) !== '', `the exit of ${id}`);
      return Number(read(join(exits, id)));
    },
  };
}
