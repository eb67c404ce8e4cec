/** The agent's calls, over a link that was greeted. */
import type { Reply } from '#contracts/vm/agent_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import {
  decodeProcess,
  defaultMountWaitMs,
  encodeConfiguration,
  encodeContainer,
  encodeExec,
  encodeLimits,
  encodeMount,
} from './encode.ts';
import { type Launcher, launcher } from './launch/index.ts';
import type { CallShape, Link } from './link.ts';
import { exitOf } from './process.ts';
import { processTable } from './processes.ts';
import { containerStats, guestStats } from './stats.ts';
import { connectInGuest } from './tcp.ts';
import { cleanText } from './text.ts';
import type { AgentCallOptions, AgentClient, AgentEvent, AgentHello, GuestConfiguration } from './types.ts';

/** What a client is made of. */
export interface ClientDeps {
  link: Link;
  hello: AgentHello;
  onLog?: (line: string) => void;
}

/** Events that are kept for the first who listens. */
const maxEarly = 1000;

type Send = (what: string, call: CallShape, ms: number, options?: AgentCallOptions) => Promise<Reply>;

/** Makes the client. */
export function agentClient({ link, hello, onLog }: ClientDeps): AgentClient {
  const listeners = new Set<(event: AgentEvent) => void>();
  const early: AgentEvent[] = [];
  const deliver = (event: AgentEvent) => {
    if (event.kind === 'log') onLog?.(event.line);
    if (listeners.size === 0 && early.length < maxEarly) early.push(event);
    for (const listener of listeners) listener(event);
  };
  const table = processTable({ link, hello, onEvent: (event) => emit(event, deliver) });
  const { call } = link;
  const close = () => link.close(new SkiffError('CANCELLED', 'The connection to the guest was closed'));
  return {
    hello,
    closed: link.closed,
    onEvent(listener) {
      listeners.add(listener);
      for (const event of early.splice(0)) listener(event);
      return () => void listeners.delete(listener);
    },
    ...machineCalls(call),
    ...containerCalls(call, table, launcher()),
    attach: table.attach,
    connectTcp: (port, address, options) => connectInGuest(link, table.newHandle(), port, address, options),
    async shutdown(options) {
      // There is no reply: the guest ends.
      call('', { case: 'shutdown', value: {} }, 60_000).catch(() => {});
      await untilClosed(link, options);
    },
    close,
    [Symbol.asyncDispose]: async () => close(),
  };
}

type MachineCalls = Pick<
  AgentClient,
  'ping' | 'configure' | 'setClock' | 'mount' | 'unmount' | 'writeFile' | 'guestStats' | 'dropCaches'
>;

function machineCalls(call: Send): MachineCalls {
  return {
    async ping(options) {
      const start = performance.now();
      await call('Cannot ping the guest', { case: 'ping', value: {} }, 2_000, options);
      return performance.now() - start;
    },
    async configure(configuration: GuestConfiguration, options) {
      const value = encodeConfiguration(configuration);
      await call('Cannot configure the guest', { case: 'configure', value }, 10_000, options);
    },
    async setClock(time, entropy, options) {
      await call(
        "Cannot set the guest's clock",
        { case: 'setClock', value: { time, entropy } },
        5_000,
        options,
      );
    },
    async mount(mount, options) {
      const value = encodeMount(mount);
      const ms = 5_000 + (mount.waitMs ?? defaultMountWaitMs);
      await call(`Cannot mount ${mount.target} in the guest`, { case: 'mount', value }, ms, options);
    },
    async unmount(target, how, options) {
      const value = { target, lazy: how?.lazy, remove: how?.remove };
      await call(`Cannot unmount ${target} in the guest`, { case: 'unmount', value }, 10_000, options);
    },
    async writeFile({ path, data, mode = 0o644, uid, gid }, options) {
      const value = { path, data, mode, uid, gid };
      await call(`Cannot write ${path} in the guest`, { case: 'writeFile', value }, 5_000, options);
    },
    async guestStats(options) {
      const { result } = await call(
        "Cannot read the guest's figures",
        { case: 'guestStats', value: {} },
        10_000,
        options,
      );
      return guestStats(result.case === 'files' ? result.value : undefined);
    },
    async dropCaches(options) {
      await call("Cannot drop the guest's caches", { case: 'dropCaches', value: {} }, 10_000, options);
    },
  };
}

type ContainerCalls = Pick<
  AgentClient,
  | 'createContainer'
  | 'startContainer'
  | 'deleteContainer'
  | 'pauseContainer'
  | 'resumeContainer'
  | 'updateContainer'
  | 'exec'
  | 'signalContainer'
  | 'containerStats'
  | 'listProcesses'
>;

function containerCalls(
  call: Send,
  table: ReturnType<typeof processTable>,
  launch: Launcher,
): ContainerCalls {
  const named = (verb: string, id: string) => `Cannot ${verb} container "${id}" in the guest`;
  return {
    createContainer: (container, options) =>
      table.begin(named('create', container.id), 60_000, options, (handle) => {
        const { id, terminal, noInput } = container;
        return {
          case: 'createContainer',
          value: { id, handle, terminal, noInput, ...encodeContainer(launch, container) },
        };
      }),
    async startContainer(id, options) {
      await call(named('start', id), { case: 'startContainer', value: { id } }, 30_000, options);
    },
    async deleteContainer(id, options) {
      try {
        await call(named('delete', id), { case: 'deleteContainer', value: { id } }, 30_000, options);
      } catch (error) {
        if (!(error instanceof SkiffError) || error.errno !== 'ENOENT') throw error;
      }
      table.forgetContainer(id);
    },
    async pauseContainer(id, options) {
      await call(named('pause', id), { case: 'pauseContainer', value: { id } }, 10_000, options);
    },
    async resumeContainer(id, options) {
      await call(named('resume', id), { case: 'resumeContainer', value: { id } }, 10_000, options);
    },
    async updateContainer(id, resources, options) {
      const value = encodeLimits(launch, id, resources);
      await call(named('update', id), { case: 'updateContainer', value }, 30_000, options);
    },
    exec: (process, options) =>
      table.begin(named('run a process in', process.containerId), 30_000, options, (handle) => {
        const { containerId, terminal, noInput } = process;
        return {
          case: 'exec',
          value: { containerId, handle, terminal, noInput, ...encodeExec(launch, process) },
        };
      }),
    async signalContainer(id, signal, all, options) {
      const value = { containerId: id, signal, all };
      await call(named('signal', id), { case: 'signal', value }, 10_000, options);
    },
    async containerStats(id, options) {
      const what = named('read the figures of', id);
      const { result } = await call(what, { case: 'containerStats', value: { id } }, 10_000, options);
      return containerStats(result.case === 'files' ? result.value : undefined);
    },
    async listProcesses(id, options) {
      const what = named('list the processes of', id);
      const { result } = await call(what, { case: 'containerProcesses', value: { id } }, 10_000, options);
      return result.case === 'processes' ? result.value.processes.map(decodeProcess) : [];
    },
  };
}

function emit(
  { event }: Parameters<Parameters<Link['onEvent']>[0]>[0],
  listener: (event: AgentEvent) => void,
): void {
  if (event.case === 'exited') {
    const { handle, containerId } = event.value;
    listener({ kind: 'exited', handle, containerId, exit: exitOf(event.value) });
  } else if (event.case === 'oom') {
    listener({ kind: 'oom', containerId: event.value.id, oomKills: Number(event.value.oomKills) });
  } else if (event.case === 'log') listener({ kind: 'log', line: cleanText(event.value, 4096) });
}

async function untilClosed(link: Link, options: AgentCallOptions = {}): Promise<void> {
  const ms = options.deadlineMs ?? 15_000;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new SkiffError('DEADLINE_EXCEEDED', `The guest did not shut down within ${ms} ms`)),
    ms,
  );
  const cancel = () =>
    late.reject(new SkiffError('CANCELLED', 'The shutdown of the guest is not waited for'));
  options.signal?.addEventListener('abort', cancel, { once: true });
  try {
    await Promise.race([link.closed, late.promise]);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', cancel);
  }
}
