/**
 * RunPodSandbox. The name is held under a lock, so that a retry waits for the first try and gets its id. Each
 * thing is recorded or deferred for undoing before the next is made; nothing is seen before all is done.
 */
import { randomBytes } from 'node:crypto';
import type { RunPodSandboxRequest } from '#contracts/cri/runtime_pb.ts';
import { wrapError } from '#foundation/base/errors.ts';
import { nowNanos } from '#foundation/base/time.ts';
import { type UndoStack, undoStack } from '#foundation/base/undo.ts';
import type { Selinux } from '../selinux/policy.ts';
import type { SandboxDeps } from './deps.ts';
import { hostnameOf } from './files.ts';
import type { Sandbox } from './lifecycle.ts';
import { startMachine, watchMachine } from './machine.ts';
import { nameOf, nameTaken } from './registry.ts';
import { sysctlsOf } from './sysctls.ts';
import { type NamespacePlan, namespacePlan, validateConfig } from './validate.ts';
import { viewOf } from './view.ts';

/**
 * Runs a sandbox.
 *
 * @returns its id; that of the existing one if the same name is ready already.
 * @throws SkiffError INVALID_ARGUMENT, ALREADY_EXISTS (the name is a stopped sandbox's), UNAVAILABLE (no pod
 *   network), or what a step failed with; nothing is left then.
 */
export async function runSandbox(
  deps: SandboxDeps,
  request: RunPodSandboxRequest,
  signal: AbortSignal,
): Promise<string> {
  const { config } = request;
  validateConfig(config);
  const handler = deps.resolveHandler(request.runtimeHandler, config);
  const once = async () => {
    const other = deps.registry.byName(config);
    if (other?.state.phase === 'ready') return other.id;
    if (other !== undefined) throw nameTaken(config, other);
    const sandbox: Sandbox = {
      id: randomBytes(32).toString('hex'),
      config,
      handler,
      createdAt: nowNanos(),
      state: { phase: 'preparing' },
      resources: { namespaces: {} },
    };
    deps.registry.add(sandbox);
    try {
      await make(deps, sandbox, signal);
    } catch (error) {
      giveUp(deps, sandbox, error);
      const { namespace, name } = config.metadata ?? {};
      throw wrapError(error, `Cannot run the sandbox of pod ${namespace}/${name}`);
    }
    return sandbox.id;
  };
  return deps.locks.run(`name ${nameOf(config)}`, once, signal);
}

async function make(deps: SandboxDeps, sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  const plan = namespacePlan(sandbox.config);
  const hostname = hostnameOf(sandbox.id, sandbox.config, plan);
  await using undo = undoStack();
  reserve(deps, sandbox, plan);
  makeFiles(deps, sandbox, plan, hostname, undo);
  await makeNamespaces(deps, sandbox, plan, hostname, signal, undo);
  await attach(deps, sandbox, signal, undo);
  deps.host.writeHosts(sandbox.id, hostname, viewOf(deps.run, sandbox).ips);
  if (deps.pods(sandbox.handler) !== undefined)
    await startMachine(deps, sandbox, plan, hostname, signal, undo);
  else if (plan.sharedPid) await startPause(deps, sandbox, plan, signal, undo);
  const view = viewOf(deps.run, sandbox);
  await deps.hooks.run(view, signal);
  undo.defer('tell plugins', () => deps.hooks.undo(view));
  signal.throwIfAborted();
  publish(deps, sandbox);
  undo.commit();
  watchMachine(deps, sandbox);
}

/** On disk before anything is made: a crash from here on leaves a record that start-up cleans up after. */
function reserve(deps: SandboxDeps, sandbox: Sandbox, plan: NamespacePlan): void {
  if (!plan.hostNetwork)
    sandbox.resources = {
      ...sandbox.resources,
      network: { plan: deps.network.plan(sandbox.id, sandbox.config) },
    };
  if (deps.selinux !== undefined)
    sandbox.resources = { ...sandbox.resources, selinuxLevel: selinuxLevel(deps.selinux, deps, sandbox) };
  deps.records.put(sandbox);
}

/** The level that was asked for, else one that no other pod has. */
function selinuxLevel(
  selinux: Pick<Selinux, 'freeLevel'>,
  { registry }: SandboxDeps,
  { config }: Sandbox,
): string {
  const wanted = config.linux?.securityContext?.selinuxOptions?.level ?? '';
  if (wanted !== '') return wanted;
  const taken = registry.all().map(({ resources }) => resources.selinuxLevel ?? '');
  return selinux.freeLevel(new Set(taken));
}

function makeFiles(
  deps: SandboxDeps,
  sandbox: Sandbox,
  plan: NamespacePlan,
  hostname: string,
  undo: UndoStack,
): void {
  const { id } = sandbox;
  undo.defer('directories', () => deps.host.removeDirectories(id));
  deps.host.makeDirectories(sandbox);
  undo.defer('shared memory', () => deps.host.unmountShm(id));
  deps.host.makeFiles(sandbox, hostname, plan);
}

async function makeNamespaces(
  deps: SandboxDeps,
  sandbox: Sandbox,
  plan: NamespacePlan,
  hostname: string,
  signal: AbortSignal,
  undo: UndoStack,
): Promise<void> {
  const sysctls = sysctlsOf(sandbox.config, plan);
  undo.defer('namespaces', () => deps.host.releaseNamespaces(sandbox.id));
  const namespaces = await deps.host.makeNamespaces(sandbox.id, { plan, hostname, sysctls }, signal);
  sandbox.resources = { ...sandbox.resources, namespaces };
}

/** CNI ADD. DEL is deferred before it, since it is due after a failed ADD too (CNI spec, section 4). */
async function attach(
  deps: SandboxDeps,
  sandbox: Sandbox,
  signal: AbortSignal,
  undo: UndoStack,
): Promise<void> {
  const { network, namespaces } = sandbox.resources;
  if (network === undefined) return;
  const netns = namespaces.network ?? '';
  undo.defer('network', (late) =>
    deps.network.detach(network.plan, netns, sandbox.resources.network?.result, late),
  );
  const result = await deps.network.attach(network.plan, netns, signal);
  sandbox.resources = { ...sandbox.resources, network: { plan: network.plan, result } };
}

async function startPause(
  deps: SandboxDeps,
  sandbox: Sandbox,
  plan: NamespacePlan,
  signal: AbortSignal,
  undo: UndoStack,
): Promise<void> {
  undo.defer('pause process', () => deps.host.stopPause(sandbox));
  const { pid, startTime, namespace } = await deps.host.startPause(sandbox, plan, signal);
  const { namespaces } = sandbox.resources;
  sandbox.resources = {
    ...sandbox.resources,
    pause: { pid, startTime },
    namespaces: { ...namespaces, pid: namespace },
  };
}

function publish(deps: SandboxDeps, sandbox: Sandbox): void {
  deps.records.put({ ...sandbox, state: { phase: 'ready' } });
  sandbox.state = { phase: 'ready' };
  const view = viewOf(deps.run, sandbox);
  deps.emit('created', view);
  deps.emit('started', view);
  deps.log.info({ sandbox: sandbox.id, pod: sandbox.config.metadata?.name, ips: view.ips }, 'sandbox runs');
}

/** After a rollback: forgets the sandbox; if the rollback failed too, keeps it for the kubelet to stop. */
function giveUp(deps: SandboxDeps, sandbox: Sandbox, error: unknown): void {
  if (error instanceof SuppressedError) {
    sandbox.state = { phase: 'stopping', why: wrapError(error.error, 'Rollback failed').message };
    deps.records.put(sandbox);
    return;
  }
  deps.records.delete(sandbox.id);
  deps.registry.delete(sandbox);
}
