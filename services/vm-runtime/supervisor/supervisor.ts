/**
 * One pod VM's supervisor. It serves its gRPC API at once, while the VM boots; a supervisor that finds the records of
 * an earlier one takes over from it.
 *
 *     skiff-vm, CRI server --gRPC--> service --> containers/* --> agent in the guest
 *     shims --io.sock--> links --> streams of the guest's processes
 */
import { Supervisor } from '#contracts/vm/supervisor_pb.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import { createLeanServer } from '#foundation/grpc/lean-server.ts';
import { endIfLast } from './containers/remove.ts';
import type { Core, SupervisorDeps } from './core.ts';
import { openEvents } from './events.ts';
import { listenAt } from './io/listen-at.ts';
import { serveShims } from './io/server.ts';
import { acceptShim } from './links.ts';
import { bootMachine, endMachine, readyMachine } from './machine.ts';
import { loadContainers, recover } from './recover.ts';
import { supervisorHandlers } from './service.ts';

/** A running supervisor. */
export interface RunningSupervisor {
  core: Core;
  /** Ends the pod with a reason, as when the machine is shut down. */
  end(reason: string): Promise<void>;
  /** Stops serving; the VM goes on and waits for the next supervisor. */
  close(): Promise<void>;
}

/** Starts a supervisor; resolves when it serves. */
export async function startSupervisor(deps: SupervisorDeps): Promise<RunningSupervisor> {
  const core: Core = {
    ...deps,
    life: { phase: 'waiting' },
    containers: new Map(),
    early: new Map(),
    used: false,
    busy: 0,
    tmpfs: new Map(),
    events: openEvents(deps.paths.events),
    locks: keyedLocks(),
    machine: () => readyMachine(core),
  };
  loadContainers(core);
  const shims = await serveShims(deps.paths.ioSocket, (connection, socket) =>
    acceptShim(core, connection, socket),
  );
  const server = createLeanServer();
  server.add(Supervisor, supervisorHandlers(core));
  const known = await recover(core);
  await listenAt(deps.paths.socket, (path) => server.listen(`unix://${path}`));
  if (known) await endIfLast(core);
  else if (!deps.config.deferred) void bootMachine(core);
  const idle = setTimeout(() => void endIfLast(core), deps.idleMs ?? 60_000).unref();
  return {
    core,
    end: (reason) => endMachine(core, reason, 3000),
    async close() {
      clearTimeout(idle);
      const { life } = core;
      // From now on the end of a connection is ours, not the shim's.
      core.life = { phase: 'ended', reason: 'this supervisor has ended' };
      core.events.close();
      await server.close(2000);
      await shims[Symbol.asyncDispose]();
      if (life.phase !== 'ready') return;
      life.pod.agent.close();
      life.pod.vm.release();
      life.pod.share?.release();
    },
  };
}
