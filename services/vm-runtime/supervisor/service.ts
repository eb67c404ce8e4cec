/** The supervisor's gRPC API: turns messages into calls of the verbs, and back. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type ContainerSchema,
  ContainerState,
  EventKind,
  type EventSchema,
  type ExitSchema,
  type PodSchema,
  PodState,
  type Supervisor,
} from '#contracts/vm/supervisor_pb.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import * as control from './containers/control.ts';
import { createContainer } from './containers/create.ts';
import { exec } from './containers/exec.ts';
import { getContainer } from './containers/find.ts';
import { deleteContainer } from './containers/remove.ts';
import { startContainer } from './containers/start.ts';
import { stats } from './containers/stats.ts';
import type { Container, Core } from './core.ts';
import type { PodEvent } from './events.ts';
import type { ExitRecord } from './records.ts';
import { resizePod } from './resize.ts';
import { shutdown } from './shutdown.ts';

/** The handlers of a pod. */
export function supervisorHandlers(core: Core): Handlers<typeof Supervisor> {
  return {
    getPod: async () => podView(core),
    createContainer: async (request) => containerView(await createContainer(core, request)),
    startContainer: async ({ id }) => done(startContainer(core, id)),
    deleteContainer: async ({ id, force }) => done(deleteContainer(core, id, force)),
    getContainer: async ({ id }) => containerView(getContainer(core, id)),
    listContainers: async () => ({ containers: [...core.containers.values()].map(containerView) }),
    exec: async (request, { signal }) => exec(core, request, signal),
    signal: async (request) => done(control.signal(core, request)),
    wait: async (request, { signal }) => exitView(await control.wait(core, request, signal)),
    resize: async (request) => done(control.resize(core, request)),
    listProcesses: async ({ id }) => ({
      processes: (await control.listProcesses(core, id)).map(({ pid, ppid, uid, command }) => ({
        pid,
        parent: ppid,
        uid,
        command: command.join(' '),
      })),
    }),
    pause: async ({ id }) => done(control.pause(core, id)),
    resume: async ({ id }) => done(control.resume(core, id)),
    updateContainer: async ({ id, resources }) => done(control.update(core, id, resources)),
    resizePod: async (request) => done(resizePod(core, request)),
    getStats: async ({ id }) => stats(core, id),
    watchEvents: (request, { signal }) => watch(core, request, signal),
    shutdown: async ({ graceMs }) => done(shutdown(core, graceMs)),
  };
}

async function done(work: Promise<void>): Promise<object> {
  await work;
  return {};
}

async function* watch(
  core: Core,
  { after, onlyKept }: { after: bigint; onlyKept: boolean },
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof EventSchema>> {
  for await (const event of core.events.watch(Number(after), onlyKept, signal)) yield eventView(event);
}

function eventView(event: PodEvent): MessageInitShape<typeof EventSchema> {
  return {
    sequence: BigInt(event.sequence),
    at: BigInt(event.at),
    kind: EventKind[event.kind],
    containerId: event.container ?? '',
    execId: event.exec ?? '',
    reason: event.reason ?? '',
    ...(event.exit === undefined ? {} : { exit: exitView(event.exit) }),
  };
}

function exitView({ code, signal, at, oomKilled }: ExitRecord): MessageInitShape<typeof ExitSchema> {
  return { code, signal, at: BigInt(at), oomKilled };
}

const states = {
  creating: ContainerState.CREATING,
  created: ContainerState.CREATED,
  running: ContainerState.RUNNING,
  paused: ContainerState.PAUSED,
  stopped: ContainerState.STOPPED,
};

function containerView({ record }: Container): MessageInitShape<typeof ContainerSchema> {
  return {
    id: record.id,
    state: states[record.status],
    bundle: record.bundle,
    pid: record.shim.pid,
    guestPid: record.guestPid,
    createdAt: BigInt(record.createdAt),
    startedAt: BigInt(record.startedAt ?? 0),
    annotations: record.annotations,
    ...(record.exit === undefined ? {} : { exit: exitView(record.exit) }),
  };
}

const phases = {
  waiting: PodState.BOOTING,
  booting: PodState.BOOTING,
  ready: PodState.READY,
  ending: PodState.ENDING,
  ended: PodState.ENDED,
};

async function podView(core: Core): Promise<MessageInitShape<typeof PodSchema>> {
  const { life, config } = core;
  const pod = life.phase === 'ready' ? life.pod : undefined;
  return {
    id: config.id,
    state: phases[life.phase],
    reason: 'reason' in life ? life.reason : '',
    hypervisor: pod?.vm.hypervisor ?? '',
    vmmPid: pod?.vm.pid ?? 0,
    supervisorPid: process.pid,
    vcpus: pod?.vm.vcpus ?? config.vcpus,
    memoryBytes: BigInt(pod?.vm.memoryBytes ?? config.memoryBytes),
    createdAt: BigInt(config.createdAt),
    bootId: pod?.agent.hello.bootId ?? '',
    consolePath: pod?.vm.consolePath ?? '',
    endsWithLast: config.endsWithLast,
    containers: core.containers.size,
  };
}
