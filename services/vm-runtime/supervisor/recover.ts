/**
 * What a new supervisor does when one before it has died: finds the VM, its containers and their shims again. What was
 * being made is removed; what has ended meanwhile is noted; all else goes on, and no byte of a stream is lost.
 */
import { messageOf } from '#foundation/base/errors.ts';
import { isRunning } from '#foundation/linux/process.ts';
import type { AgentClient, GuestProcess } from '../agent-client/types.ts';
import { removePodCgroup } from './cgroup.ts';
import { sharePrefix } from './containers/create.ts';
import { forgetLater } from './containers/exec.ts';
import { forget } from './containers/remove.ts';
import type { Container, Core, Running } from './core.ts';
import { observeExit, watchExit } from './exits.ts';
import type { ProcessLink } from './io/process-link.ts';
import { bindProcess, execLink, takeLink } from './links.ts';
import { findMachine } from './machine.ts';
import { type ContainerRecord, listContainerRecords, loadRecord, type PodRecord } from './records.ts';

/** Milliseconds that shims have to connect: they try every 50. */
const shimMs = 3000;

/** As of a process that was killed. */
const lost = { code: 137, signal: 9 };

/** Puts what the records say in place. To be called before shims can connect. */
export function loadContainers(core: Core): void {
  for (const record of listContainerRecords(core.config.root, core.paths.directory))
    core.containers.set(record.id, containerOf(core, record));
}

function containerOf(core: Core, record: ContainerRecord): Container {
  const container: Container = {
    record,
    link: takeLink(core, record.id),
    ended: Promise.withResolvers(),
    execs: new Map(),
    shares: [],
  };
  if (record.exit !== undefined) container.ended.resolve(record.exit);
  for (const { id } of record.execs)
    container.execs.set(id, { link: execLink(core, record.id, id), ended: Promise.withResolvers() });
  return container;
}

/** Finds all again. @returns false if there was nothing to be found: the pod is to be made. */
export async function recover(core: Core): Promise<boolean> {
  const record = loadRecord<PodRecord>(core.paths.state);
  if (record === undefined) return false;
  for (const path of record.tmpfs ?? []) core.tmpfs.set(path, Promise.resolve());
  if (record.phase === 'running' && (await findMachine(core))) await recoverContainers(core);
  else if (record.phase !== 'running') {
    await core.factory.release(core.paths.vm, core.config.netns).catch(() => {});
    await removePodCgroup(core.config).catch(() => {});
    const reason = record.reason ?? 'its supervisor died while it was started';
    core.life = { phase: 'ended', reason };
    for (const container of core.containers.values()) observeExit(core, container, lost);
    core.events.emit('POD_ENDED', { reason });
  }
  // Of those that had ended before, and have nothing to come, the shims may not know yet.
  for (const container of core.containers.values())
    if (container.record.exit !== undefined && container.process === undefined)
      container.link.finish(container.record.exit);
  // Whoever asked for these got no answer, or an error.
  for (const container of [...core.containers.values()])
    if (container.record.handle === 0) await forget(core, container);
  return true;
}

async function recoverContainers(core: Core): Promise<void> {
  if (core.life.phase !== 'ready') return;
  const { agent, share } = core.life.pod;
  await Promise.all(
    [...core.containers.values()].map(async (container) => {
      const { record } = container;
      const prefix = share?.list().filter((name) => name.startsWith(sharePrefix(record.id))) ?? [];
      container.shares = prefix;
      // Of one that has ended a shim that is still there may not have all of its output.
      const isOver = record.status === 'stopped' && !isRunning(record.shim);
      if (isOver || record.handle === 0) return;
      record.oomKills =
        agent.hello.containers.find(({ id }) => id === record.id)?.oomKills ?? record.oomKills;
      await takeUp(core, agent, container, container, record.handle);
      for (const { id, handle } of record.execs) {
        const running = container.execs.get(id);
        if (running === undefined) continue;
        await takeUp(core, agent, container, running, handle, { id, running });
        void forgetLater(core, container, id, running);
      }
    }),
  );
}

async function takeUp(
  core: Core,
  agent: AgentClient,
  container: Container,
  running: Running,
  handle: number,
  exec?: { id: string; running: Running },
): Promise<void> {
  const known = agent.hello.processes.find((process) => process.handle === handle);
  if (known === undefined) return observeExit(core, container, lost, exec);
  const counts = await shimCounts(running.link, known.terminal);
  running.process = attach(core, agent, handle, counts);
  bindProcess(running);
  watchExit(core, container, running, exec);
  if (exec === undefined && !isRunning(container.record.shim) && known.exit === undefined)
    await agent.signalContainer(container.record.id, 9, true).catch(() => {});
}

function attach(core: Core, agent: AgentClient, handle: number, counts: Counts): GuestProcess {
  try {
    return agent.attach(handle, counts);
  } catch (error) {
    core.say('output was lost when the supervisor before this one died', { error: messageOf(error) });
    return agent.attach(handle);
  }
}

interface Counts {
  stdout?: number;
  stderr?: number;
}

async function shimCounts(link: ProcessLink, terminal: boolean): Promise<Counts> {
  const end = performance.now() + shimMs;
  for (;;) {
    const counts = link.counts();
    const whole = counts.stdout !== undefined && (terminal || counts.stderr !== undefined);
    if (whole || performance.now() > end) return counts;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
