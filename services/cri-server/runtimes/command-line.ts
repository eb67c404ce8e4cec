/**
 * The driver for any program with the OCI runtime command line (create, start, kill, delete, state, exec,
 * update, checkpoint), as crun and runc have it. Containers are created through conmon.
 */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeState, SpecResources } from '#contracts/oci/runtime.ts';
import type {
  ExecRequest,
  ExecSession,
  RuntimeDriver,
  RuntimeFeatures,
} from '#contracts/oci/runtime-driver.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { cgroupLayout } from '#foundation/linux/cgroups.ts';
import { runSpawned, type SpawnedResult } from '#foundation/linux/spawn-command.ts';
import { compiledSeccomp } from './compiled-seccomp.ts';
import { type ConmonDeps, createMonitored, type MonitoredRuntime, runtimeMessage } from './conmon.ts';
import { deleteEnded, startByFifo } from './shortcuts.ts';

/** What the driver needs. */
export interface CommandLineDeps extends ConmonDeps {
  name: string;
  path: string;
  version: string;
  features: RuntimeFeatures;
  /** Where the runtime keeps its own state; ends with a reboot. */
  stateDirectory: string;
  /** More global arguments: `--systemd-cgroup`. */
  globalArgs?: readonly string[];
}

/** Milliseconds that CRIU may take unless told. */
const checkpointMs = 600_000;

/** Makes the driver of one runtime. */
export function commandLineDriver(deps: CommandLineDeps): RuntimeDriver {
  const globalArgs = [`--root=${deps.stateDirectory}`, ...(deps.globalArgs ?? [])];
  const monitored: MonitoredRuntime = { name: deps.name, path: deps.path, globalArgs };
  const run = (args: readonly string[], timeoutMs = deps.timeoutMs) =>
    runSpawned(deps.spawner, {
      file: deps.path,
      args: [...globalArgs, ...args],
      env: runtimeEnv(),
      timeoutMs,
    });
  const must = async (args: readonly string[], timeoutMs?: number) =>
    expectSuccess(deps.name, await run(args, timeoutMs));
  const cgroups = cgroupLayout();
  const seccomp = deps.features.compiledSeccomp ? compiledSeccomp() : undefined;
  const known = (id: string) => exists(join(deps.stateDirectory, id));
  const state = async (id: string) =>
    known(id) ? parseState(deps.name, await run(['state', id])) : undefined;
  const remove = async (id: string, options: { force?: boolean } = {}) => {
    const directory = join(deps.stateDirectory, id);
    if (!known(id) || (await deleteEnded(deps.name, directory, cgroups))) return;
    const result = await run(options.force === true ? ['delete', '--force', id] : ['delete', id]);
    if (result.exitCode !== 0 && known(id)) expectSuccess(deps.name, result);
  };
  return {
    name: deps.name,
    version: deps.version,
    features: deps.features,
    async create(request, signal) {
      try {
        const known = seccomp?.use(request.spec, request.bundle);
        const created = await createMonitored(deps, monitored, request, signal);
        if (known === false) seccomp?.learn(request.spec, join(deps.stateDirectory, request.id));
        return created;
      } catch (error) {
        await remove(request.id, { force: true }).catch(() => {});
        throw error;
      }
    },
    async start(id, spec) {
      // Hooks after the start are the runtime's to run.
      const hooks = (spec.hooks?.poststart?.length ?? 0) + (spec.hooks?.startContainer?.length ?? 0);
      if (hooks === 0 && (await startByFifo(deps.name, join(deps.stateDirectory, id)))) return;
      await must(['start', id]);
    },
    delete: remove,
    state,
    list: async () => entries(deps.stateDirectory).filter((name) => !name.startsWith('.')),
    exec: async (request) => exec(deps, globalArgs, request),
    update: async (id, resources) => update(deps, id, resources, must),
    pause: async (id) => void (await must(['pause', id])),
    resume: async (id) => void (await must(['resume', id])),
    checkpoint: async (id, to) =>
      void (await must(
        [
          'checkpoint',
          '--leave-running',
          '--image-path',
          to.imageDirectory,
          '--work-path',
          to.workDirectory,
          id,
        ],
        to.timeoutMs ?? checkpointMs,
      )),
  };
}

function runtimeEnv(): Record<string, string> {
  return { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin' };
}

function expectSuccess(name: string, result: SpawnedResult): SpawnedResult {
  if (result.exitCode === 0) return result;
  const said = runtimeMessage(result.stderr.trim() || result.stdout);
  throw new SkiffError('INTERNAL', `${name} exited with ${result.exitCode}: ${said}`);
}

function parseState(name: string, result: SpawnedResult): RuntimeState | undefined {
  if (result.exitCode !== 0) {
    if (/does not exist|no such file/i.test(result.stderr)) return undefined;
    expectSuccess(name, result);
  }
  try {
    const parsed = JSON.parse(result.stdout) as RuntimeState;
    if (typeof parsed.status === 'string') return parsed;
  } catch {
    // Fall through to the error: it shows what came instead.
  }
  throw new SkiffError('INTERNAL', `${name} answered "state" with rubbish: ${result.stdout.slice(0, 200)}`);
}

/** Runtimes read limits from a file; `-` is not understood by all. */
async function update(
  deps: CommandLineDeps,
  id: string,
  resources: SpecResources,
  must: (args: readonly string[]) => Promise<unknown>,
): Promise<void> {
  const file = join(deps.stateDirectory, id, 'skiff-update.json');
  writeFileSync(file, JSON.stringify(resources), { mode: 0o600 });
  try {
    await must(['update', '--resources', file, id]);
  } finally {
    rmSync(file, { force: true });
  }
}

async function exec(
  deps: CommandLineDeps,
  globalArgs: readonly string[],
  request: ExecRequest,
): Promise<ExecSession> {
  const logPath = `${request.pidPath}.log`;
  rmSync(request.pidPath, { force: true });
  const child = deps.spawner.spawn({
    file: deps.path,
    args: [
      ...globalArgs,
      `--log=${logPath}`,
      'exec',
      '--process', request.processPath,
      '--pid-file', request.pidPath,
      ...(request.consoleSocket === undefined ? [] : ['--console-socket', request.consoleSocket]),
      request.id,
    ], // biome-ignore format: options stand beside their values
    env: runtimeEnv(),
    fds: request.fds,
    newSession: true,
    terminal: request.terminal,
  });
  const exited = child.exited.then(({ code }) => {
    try {
      // The runtime wrote the process id, so the command ran and this code is its own.
      if (exists(request.pidPath)) return { code };
      throw new SkiffError('INTERNAL', `${deps.name}: ${runtimeMessage(textOf(logPath))}`);
    } finally {
      rmSync(logPath, { force: true });
    }
  });
  exited.catch(() => {}); // The caller awaits it; until then a failure must not count as unhandled.
  return { runtimePid: child.pid, exited, kill: child.kill };
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
