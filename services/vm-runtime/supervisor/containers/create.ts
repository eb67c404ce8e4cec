/**
 * CreateContainer: hooks, shares, mounts, then the container in the guest, whose process waits for StartContainer.
 * What fails takes back all that came before.
 */
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { nowNanos } from '#foundation/base/time.ts';
import { type UndoStack, undoStack } from '#foundation/base/undo.ts';
import { identify } from '#foundation/linux/process.ts';
import type { PodVm } from '../../factory/types.ts';
import type { Container, Core } from '../core.ts';
import { saveContainer, watchExit } from '../exits.ts';
import { runHooks, tryHooks } from '../hooks.ts';
import { bindProcess, takeLink } from '../links.ts';
import { bootMachine, guestBootId, saveRunning } from '../machine.ts';
import { containerStateFile } from '../paths.ts';
import { stateOf } from '../state.ts';
import { type GuestPlan, type GuestTmpfs, type PodFacts, planContainer } from '../translate/index.ts';
import { endIfLast } from './remove.ts';

/** Milliseconds that the shim has to attach: its process is there before the call. */
const shimMs = 10_000;

/** What is asked for. */
export interface CreateRequest {
  id: string;
  bundle: string;
  shimPid: number;
}

/** Makes a container. @throws SkiffError ALREADY_EXISTS, or what a step failed with; nothing is left then. */
export async function createContainer(core: Core, request: CreateRequest): Promise<Container> {
  core.busy += 1;
  core.used = true;
  try {
    return await core.locks.run(request.id, () => create(core, request));
  } finally {
    core.busy -= 1;
    // One that failed may have been what the VM was made for.
    void endIfLast(core);
  }
}

async function create(core: Core, request: CreateRequest): Promise<Container> {
  if (core.containers.has(request.id))
    throw new SkiffError('ALREADY_EXISTS', `container "${request.id}" exists already`);
  const spec = readSpec(request.bundle);
  const facts: PodFacts = {
    sharePrefix: sharePrefix(request.id),
    bundle: request.bundle,
    guestPidOf: (pid) => guestPidOf(core, pid),
    sharedPid: core.config.sharedPid,
  };
  // What a VM cannot do is said before one is made.
  planContainer(spec, facts);
  await using undo = undoStack();
  const container = begin(core, request, spec, undo);
  const { hooks } = spec;
  const state = stateOf(container.record, 'creating');
  undo.defer('poststop hooks', () => tryHooks('poststop', hooks?.poststop ?? [], state, core.say));
  await runHooks('prestart', hooks?.prestart ?? [], state);
  await runHooks('createRuntime', hooks?.createRuntime ?? [], state);
  if (core.life.phase === 'waiting') await bootMachine(core);
  const pod = await core.machine();
  const plan = planContainer(spec, pod.origin === 'template' ? { ...facts, bootIdFile: guestBootId } : facts);
  await share(core, pod, container, plan, undo);
  await loadModules(core, pod, spec);
  undo.defer('container in the guest', () => pod.agent.deleteContainer(request.id).catch(() => {}));
  const process = await pod.agent.createContainer({
    id: request.id,
    config: JSON.stringify(plan.config),
    terminal: spec.process.terminal === true,
    ...sizeOf(spec),
  });
  container.process = process;
  Object.assign(container.record, { handle: process.handle, guestPid: process.pid, status: 'created' });
  bindProcess(container);
  await container.link.shim(shimMs);
  saveContainer(core, container);
  watchExit(core, container, container);
  undo.commit();
  core.events.emit('CONTAINER_CREATED', { container: request.id });
  return container;
}

/** Begins the names of a container's shares. */
export function sharePrefix(id: string): string {
  return `${createHash('sha256').update(id).digest('hex').slice(0, 10)}-`;
}

function readSpec(bundle: string): RuntimeSpec {
  try {
    const spec = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8')) as Partial<RuntimeSpec>;
    for (const part of ['process', 'root', 'linux'] as const)
      if (spec[part] === undefined) throw new SkiffError('INVALID_ARGUMENT', `it has no "${part}"`);
    return { ...spec, mounts: spec.mounts ?? [] } as RuntimeSpec;
  } catch (error) {
    const cause = error instanceof SyntaxError ? new SkiffError('INVALID_ARGUMENT', error.message) : error;
    throw wrapError(cause, `Cannot read ${bundle}/config.json`);
  }
}

function begin(core: Core, request: CreateRequest, spec: RuntimeSpec, undo: UndoStack): Container {
  const shim = identify(request.shimPid);
  if (shim === undefined)
    throw new SkiffError('FAILED_PRECONDITION', `there is no shim with process number ${request.shimPid}`);
  const container: Container = {
    record: {
      version: 1,
      id: request.id,
      bundle: request.bundle,
      pod: core.paths.directory,
      status: 'creating',
      shim,
      terminal: spec.process.terminal === true,
      guestPid: 0,
      handle: 0,
      createdAt: String(nowNanos()),
      oomKills: 0,
      annotations: spec.annotations ?? {},
      execs: [],
      poststart: spec.hooks?.poststart ?? [],
      poststop: spec.hooks?.poststop ?? [],
    },
    link: takeLink(core, request.id),
    ended: Promise.withResolvers(),
    execs: new Map(),
    shares: [],
  };
  undo.defer('entry', () => {
    core.containers.delete(request.id);
    rmSync(containerStateFile(core.config.root, request.id), { force: true });
  });
  core.containers.set(request.id, container);
  saveContainer(core, container);
  return container;
}

async function share(
  core: Core,
  { agent, share: shared }: PodVm,
  container: Container,
  plan: GuestPlan,
  undo: UndoStack,
): Promise<void> {
  if (shared === undefined) throw new SkiffError('INTERNAL', 'the VM has no share');
  for (const { guestPath, ...entry } of plan.shares) {
    const { name } = entry;
    undo.defer(`share ${name}`, () => shared.remove(name));
    const at = shared.add(entry);
    container.shares.push(name);
    if (at !== guestPath) throw new SkiffError('INTERNAL', `the share ${name} appears as ${at}`);
  }
  await Promise.all(plan.tmpfs.map((one) => mountMemory(core, one)));
  if (Object.keys(plan.sysctls).length > 0) await agent.configure({ sysctls: plan.sysctls });
}

/**
 * A kernel loads what makes bridges when somebody wants one; the guest has no program that it could ask. So it is done
 * for whoever may make one. A guest of an older Skiff has not got it.
 */
async function loadModules(core: Core, { agent }: PodVm, { process }: RuntimeSpec): Promise<void> {
  if (process.capabilities?.bounding?.includes('CAP_NET_ADMIN') !== true) return;
  await agent
    .configure({ modules: ['bridge'] })
    .catch((error) => core.say('the guest cannot make bridges', { error: messageOf(error) }));
}

/** Once for the pod, however many containers want it. */
async function mountMemory(core: Core, { guestPath, bytes, mode, uid, gid }: GuestTmpfs): Promise<void> {
  const pod = await core.machine();
  const options = [`mode=${mode.toString(8)}`, `uid=${uid}`, `gid=${gid}`];
  if (bytes > 0) options.push(`size=${bytes}`);
  const known = core.tmpfs.get(guestPath);
  const mounted = known ?? pod.agent.mount({ source: 'tmpfs', target: guestPath, type: 'tmpfs', options });
  core.tmpfs.set(guestPath, mounted);
  await mounted.catch((error) => {
    core.tmpfs.delete(guestPath);
    throw wrapError(error, `Cannot make memory on ${guestPath} in the guest`);
  });
  if (known === undefined) saveRunning(core, pod);
}

function sizeOf({ process }: RuntimeSpec): { size?: { columns: number; rows: number } } {
  const { width = 0, height = 0 } = process.consoleSize ?? {};
  return width > 0 && height > 0 ? { size: { columns: width, rows: height } } : {};
}

/** The guest's number of the process that a shim of this pod stands for. */
function guestPidOf(core: Core, shimPid: number): number | undefined {
  for (const { record } of core.containers.values())
    if (record.shim.pid === shimPid && record.guestPid > 0) return record.guestPid;
  return undefined;
}
