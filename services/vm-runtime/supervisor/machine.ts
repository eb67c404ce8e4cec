/**
 * The VM of the pod:
 *
 *     waiting --> booting --> ready --> ending --> ended
 *                    |          ^          ^
 *                    |     (found again)   |
 *                    +---------------------+
 *
 * Whatever ends it (its own shutdown, the death of the hypervisor or the file server, an agent that is silent or talks
 * rubbish) ends all containers; the records stay until they are deleted.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { AgentEvent } from '../agent-client/types.ts';
import type { PodVm } from '../factory/types.ts';
import type { VmEnd } from '../hypervisor/types.ts';
import { makePodCgroup, removePodCgroup } from './cgroup.ts';
import type { Core, PodLife } from './core.ts';
import { observeExit } from './exits.ts';
import { limitOpenFiles } from './open-files.ts';
import { removePod } from './over.ts';
import { type PodRecord, saveRecord } from './records.ts';

/** Milliseconds until a guest's agent must answer, and the whole of it. Emulation on a busy machine is slow. */
const bootMs = 60_000;

/** Milliseconds that a VM whose agent or file server is gone has to end by itself, and so tell why. */
const lastWordsMs = 2000;

/** Boots the VM. What goes wrong is in `core.life`; `core.machine()` throws it. */
export async function bootMachine(core: Core): Promise<void> {
  const { config, paths } = core;
  core.life = { phase: 'booting' };
  savePod(core, { version: 1, phase: 'booting' });
  const started = performance.now();
  try {
    makePodCgroup(config);
    const pod = await core.factory.acquire({
      id: `skiff-${paths.directory.slice(-12)}`,
      directory: paths.vm,
      vcpus: config.vcpus,
      memoryBytes: config.memoryBytes,
      sharing: 'virtiofs',
      deadlineMs: bootMs,
      ...(config.netns === undefined ? {} : { netns: config.netns }),
      ...(config.cgroup === undefined ? {} : { cgroup: config.cgroup }),
    });
    await configureGuest(core, pod);
    watchMachine(core, pod);
    saveRunning(core, pod);
    if (core.life.phase !== 'booting') return void (await release(core));
    core.life = { phase: 'ready', pod };
    core.events.emit('POD_READY');
    const ms = Math.round(performance.now() - started);
    core.say('the VM is ready', { pid: pod.vm.pid, origin: pod.origin, ms });
  } catch (error) {
    const reason = `the VM could not be started: ${messageOf(error)}`;
    core.life = { phase: 'ending', reason };
    await over(core, reason);
  }
}

/** Finds the VM of a supervisor that has died. @returns false if the VM is gone; the pod has ended then. */
export async function findMachine(core: Core): Promise<boolean> {
  core.life = { phase: 'booting' };
  try {
    const pod = await core.factory.reattach(core.paths.vm);
    watchMachine(core, pod);
    core.life = { phase: 'ready', pod };
    core.say('found the VM again', { pid: pod.vm.pid });
    return true;
  } catch (error) {
    const reason = `the VM ended while no supervisor was there: ${messageOf(error)}`;
    core.life = { phase: 'ending', reason };
    await over(core, reason);
    return false;
  }
}

/** The boot id of a clone, in the guest. */
export const guestBootId = '/run/boot_id';

async function configureGuest(core: Core, { agent, origin }: PodVm): Promise<void> {
  const { hostname, sysctls, sharedPid } = core.config;
  await agent.configure({
    ...(hostname === '' ? {} : { hostname }),
    sysctls,
    sharedPidNamespace: sharedPid,
  });
  if (origin === 'template')
    await agent.writeFile({ path: guestBootId, data: Buffer.from(`${randomUUID()}\n`), mode: 0o444 });
}

function watchMachine(core: Core, pod: PodVm): void {
  pod.agent.onEvent((event) => takeEvent(core, event));
  void pod.vm.ended.then((end) => endMachine(core, describeEnd(end)));
  // Agent and file server go with their VM, which knows better why.
  const unlessEnded = async (why: string) => {
    const end = await Promise.race([pod.vm.ended, sleep(lastWordsMs, undefined, { ref: false })]);
    await endMachine(core, end === undefined ? why : describeEnd(end));
  };
  void pod.agent.closed.then((error) => unlessEnded(`the guest's agent is gone: ${error.message}`));
  void pod.share?.ended.then(({ said }) =>
    unlessEnded(`the file server of the VM ended${said === '' ? '' : `: ${said}`}`),
  );
  void heartbeat(core, pod);
  void limitOpenFiles(core, pod);
}

function describeEnd(end: VmEnd): string {
  switch (end.kind) {
    case 'shutdown':
      return 'the guest shut down';
    case 'panic':
      return `the guest's kernel panicked: ${/Kernel panic[^\r\n]*/.exec(end.console)?.[0] ?? end.console.slice(-500)}`;
    case 'killed':
      return 'the VM was ended';
    case 'failed':
      return `the hypervisor ended with ${end.code ?? 'an unknown code'}: ${end.said.slice(-500)}`;
  }
}

function takeEvent(core: Core, event: AgentEvent): void {
  if (event.kind === 'log') core.say('guest', { line: event.line });
  if (event.kind !== 'oom') return;
  const container = core.containers.get(event.containerId);
  if (container === undefined) return;
  container.record.oomKills = event.oomKills;
  core.events.emit('CONTAINER_OOM', { container: event.containerId });
}

/** A guest that answers nothing for a while is as good as dead, and its containers must not seem to run. */
async function heartbeat(core: Core, pod: PodVm): Promise<void> {
  const { everyMs, patienceMs } = core.heartbeat ?? { everyMs: 10_000, patienceMs: 60_000 };
  let answered = performance.now();
  while (core.life.phase !== 'ended' && core.life.phase !== 'ending') {
    await new Promise((resolve) => setTimeout(resolve, everyMs).unref());
    try {
      await pod.agent.ping({ deadlineMs: Math.max(everyMs, 1000) });
      answered = performance.now();
    } catch {
      if (performance.now() - answered < patienceMs) continue;
      await endMachine(core, `the guest did not answer for ${Math.round(patienceMs / 1000)} s`);
    }
  }
}

/** Ends the VM, whatever it does, and with it all containers. Idempotent. */
export async function endMachine(core: Core, reason: string, graceMs = 0): Promise<void> {
  const { life } = core;
  if (life.phase === 'ending' || life.phase === 'ended') return;
  const pod = life.phase === 'ready' ? life.pod : undefined;
  core.life = { phase: 'ending', reason, ...(pod === undefined ? {} : { pod }) };
  savePod(core, { version: 1, phase: 'ending', reason });
  core.say('the VM ends', { reason });
  if (pod !== undefined && graceMs > 0) {
    await pod.agent.shutdown({ deadlineMs: graceMs }).catch(() => {});
    await pod.vm.powerOff(500).catch(() => {});
  }
  await over(core, reason);
}

/** The VM is no more: its containers have ended, and what it left is removed. */
async function over(core: Core, reason: string): Promise<void> {
  const pod = 'pod' in core.life ? core.life.pod : undefined;
  pod?.agent.close();
  await release(core);
  core.life = { phase: 'ended', reason };
  for (const container of core.containers.values()) {
    for (const [exec, running] of container.execs) observeExit(core, container, lost, { id: exec, running });
    observeExit(core, container, lost);
  }
  core.events.emit('POD_ENDED', { reason });
  if (core.containers.size > 0 || core.busy > 0 || !core.config.endsWithLast) return;
  // Whoever had it made comes in a moment and must be told why it ended.
  if (core.used) await removePod(core);
}

/** As of a process that was killed. */
const lost = { code: 137, signal: 9 };

async function release(core: Core): Promise<void> {
  try {
    await core.factory.release(core.paths.vm, core.config.netns);
    await removePodCgroup(core.config);
  } catch (error) {
    core.say('what the VM left could not be removed', { error: messageOf(error) });
  }
}

/** Puts down what the guest has that cannot be asked of it. */
export function saveRunning(core: Core, pod: PodVm): void {
  const { bootId } = pod.agent.hello;
  savePod(core, { version: 1, phase: 'running', bootId, tmpfs: [...core.tmpfs.keys()] });
}

function savePod(core: Core, record: PodRecord): void {
  saveRecord(core.paths.state, record);
}

/**
 * The VM once it is ready, as `Core.machine`.
 *
 * @throws SkiffError UNAVAILABLE with the reason of its end, when what it left is removed
 */
export async function readyMachine(core: Core): Promise<PodVm> {
  for (;;) {
    const life: PodLife = core.life;
    if (life.phase === 'ready') return life.pod;
    if (life.phase === 'ended') throw new SkiffError('UNAVAILABLE', life.reason);
    await sleep(5);
  }
}

/** Waits for the end of a VM that is ending. */
export async function untilEnded(core: Core): Promise<void> {
  while (core.life.phase !== 'ended') await sleep(5);
}
