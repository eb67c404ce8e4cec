/**
 * Containers: from a CRI config to a process and back to an exit code. One verb, one file; `lifecycle.ts` has the
 * states, `spec/` makes the OCI config.json, `../runtimes` drives conmon and the OCI runtime. Data goes: request
 * -> verb -> `table.ts` (memory and disk) and the runtime; back: conmon's exit file -> `exits.ts` -> `exit.ts` ->
 * table and events.
 */

import type { RuntimeService } from '#contracts/cri/runtime_pb.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import type { SandboxContainers, StreamingRuntime } from '../ports.ts';
import { createCore } from './core.ts';
import type { ContainersDeps, Core } from './deps.ts';
import { recoverContainers } from './recover.ts';
import { containerHandlers } from './rpc.ts';
import { sandboxContainers } from './sandbox-containers.ts';
import { statusOf } from './status.ts';
import { streamingRuntime } from './streams/index.ts';

export type { ContainerEvent, ContainersDeps, RuntimeTable } from './deps.ts';
export { readHostFacts } from './spec/host.ts';

/** All that is done with containers. */
export interface Containers extends Disposable {
  handlers: Handlers<typeof RuntimeService>;
  /** The statuses of a sandbox's containers, oldest first. */
  statusesIn(sandboxId: string): ReturnType<typeof statusOf>[];
  /** For sandboxes: end or remove all containers of one. */
  ofSandboxes: SandboxContainers;
  /** For the streaming server: exec, attach and port-forward. */
  streaming: StreamingRuntime;
  /** Restores what an earlier run left; await it after the sandboxes' and before serving. */
  recover(): Promise<void>;
  /** For statistics and events. */
  core: Core;
}

/** Opens the containers of a store. */
export function createContainers(deps: ContainersDeps): Containers {
  const core = createCore(deps);
  return {
    core,
    handlers: containerHandlers(core),
    statusesIn: (id) =>
      core.table
        .list()
        .filter(({ record }) => record.sandboxId === id)
        .map(statusOf),
    ofSandboxes: sandboxContainers(core),
    streaming: streamingRuntime(core),
    recover: () => recoverContainers(core),
    [Symbol.dispose]: () => core.exits[Symbol.dispose](),
  };
}
