/** Makes a container: its pod if it is the first, its shim, then the call that the supervisor does the rest for. */
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { errnoOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import { type Inheriting, startInheriting } from '#foundation/linux/daemon.ts';
import { shimProgram } from '../shim/build.ts';
import { containerDirectory, containerStateFile } from '../supervisor/paths.ts';
import { refuse } from '../supervisor/translate/refuse.ts';
import { usage } from './arguments.ts';
import { type Context, withPod } from './context.ts';
import { cleanEnvironment } from './launch.ts';
import { makePod, podWish } from './pod.ts';
import { shimArguments } from './shim.ts';

/** What `create` and `run` are told. */
export interface ContainerRequest {
  id: string;
  bundle: string;
  consoleSocket?: string;
  pidFile?: string;
  preserveFds: number;
}

/** Milliseconds that a create may take: a VM boots slowly under emulation on a busy machine. */
const createMs = 120_000;

/** Makes a container. @returns its shim. Nothing is left if it fails. */
export async function makeContainer(context: Context, request: ContainerRequest): Promise<Inheriting> {
  const { id } = request;
  const bundle = resolve(request.bundle);
  if (request.preserveFds > 0)
    throw usage('--preserve-fds: descriptors of the host cannot be passed into a VM');
  const spec = readSpec(bundle);
  refuse(spec);
  checkConsole(spec, request.consoleSocket);
  const directory = reserve(context, id);
  let shim: Inheriting | undefined;
  try {
    const pod = makePod(resolve(context.root), podWish(id, spec));
    const args = shimArguments(context, {
      pod,
      container: id,
      terminal: spec.process.terminal === true,
      ...(request.consoleSocket === undefined ? {} : { consoleSocket: resolve(request.consoleSocket) }),
    });
    shim = startInheriting(await shimProgram(context.cache), args, {
      env: cleanEnvironment(),
      // Without a console socket it is the caller's own terminal that the container gets.
      session: spec.process.terminal !== true || request.consoleSocket !== undefined,
    });
    const shimPid = shim.pid;
    await withPod(context, pod, (client) =>
      client.createContainer({ id, bundle, shimPid }, { timeoutMs: createMs }),
    );
    writePid(request.pidFile, shimPid);
    return shim;
  } catch (error) {
    if (shim !== undefined) kill(shim.pid);
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

function readSpec(bundle: string): RuntimeSpec {
  const path = join(bundle, 'config.json');
  try {
    const spec = JSON.parse(readFileSync(path, 'utf8')) as RuntimeSpec;
    if (spec.process === undefined || spec.root === undefined)
      throw new SkiffError('INVALID_ARGUMENT', 'it has no process, or no root');
    return { ...spec, linux: spec.linux ?? { namespaces: [] } };
  } catch (error) {
    throw wrapError(error, `Cannot read ${path}`);
  }
}

/** As runc: a terminal that nobody takes would be lost with this process. */
function checkConsole(spec: RuntimeSpec, consoleSocket: string | undefined): void {
  if (spec.process.terminal === true || consoleSocket === undefined) return;
  throw usage('cannot use console socket if the process has no terminal');
}

/** Takes the id. Two creates at once cannot both: mkdir(2) makes one of them fail. */
function reserve(context: Context, id: string): string {
  const directory = containerDirectory(resolve(context.root), id);
  mkdirSync(context.root, { recursive: true, mode: 0o700 });
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    if (!abandoned(context, id, directory))
      throw new SkiffError('ALREADY_EXISTS', `container with id "${id}" exists already`);
  }
  try {
    replaceFileSync(join(directory, 'creator'), String(process.pid), { durable: false });
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  return directory;
}

/** A directory that a create which was killed left behind: nobody has the container. */
function abandoned(context: Context, id: string, directory: string): boolean {
  if (statSync(containerStateFile(resolve(context.root), id), { throwIfNoEntry: false })) return false;
  try {
    const pid = Number(readFileSync(join(directory, 'creator'), 'utf8'));
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return errnoOf(error) === 'ESRCH';
  }
}

/** Writes a process id where the caller looks for it. */
export function writePid(path: string | undefined, pid: number): void {
  if (path !== undefined) replaceFileSync(path, String(pid), { durable: false, mode: 0o644 });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
