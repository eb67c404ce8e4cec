/**
 * Pod sandboxes: what the containers of a pod share. One verb, one file; `lifecycle.ts` has the states,
 * `host.ts` what is made on the machine, `../network` the pod's network. Data goes: request -> `run.ts`
 * (validate, reserve the name, record, make, publish) -> `registry.ts`, from where `view.ts` and `status.ts`
 * show it to the other parts and to clients.
 */
import type { RunPodSandboxRequest, UpdatePodSandboxResourcesRequest } from '#contracts/cri/runtime_pb.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import type { Sandboxes as SandboxesPort, SandboxView } from '../ports.ts';
import type { Store } from '../store/store.ts';
import type { SandboxDeps } from './deps.ts';
import type { Sandbox } from './lifecycle.ts';
import { sandboxRecords } from './records.ts';
import { recoverSandboxes } from './recover.ts';
import { createRegistry } from './registry.ts';
import { removeSandbox } from './remove.ts';
import { runSandbox } from './run.ts';
import { closeRunDirectory, openRunDirectory } from './run-directory.ts';
import { stopSandbox } from './stop.ts';
import { updateResources } from './update-resources.ts';
import { viewOf } from './view.ts';

export { createSandboxHost } from './host.ts';
export type { Sandbox } from './lifecycle.ts';

/** All that is done with sandboxes. */
export interface SandboxService extends SandboxesPort {
  run(request: RunPodSandboxRequest, signal: AbortSignal): Promise<string>;
  stop(id: string, signal: AbortSignal): Promise<void>;
  remove(id: string, signal: AbortSignal): Promise<void>;
  updateResources(request: UpdatePodSandboxResourcesRequest, signal: AbortSignal): Promise<void>;
  /** Restores what an earlier run left; await it before serving. */
  recover(): Promise<void>;
  /** For status messages: finds by id or unique prefix. */
  get(id: string): Sandbox | undefined;
  /** Those that clients may see. */
  visible(): Sandbox[];
  /** Sandboxes live on; without any, nothing of this part is left on the machine. */
  close(): void;
}

/** Opens the sandboxes of a store. */
export function createSandboxes(
  options: Omit<SandboxDeps, 'registry' | 'records' | 'locks'> & { store: Store },
): SandboxService {
  const deps: SandboxDeps = {
    ...options,
    registry: createRegistry(),
    records: sandboxRecords(options.store),
    locks: keyedLocks(),
  };
  openRunDirectory(deps.run);
  const view = (sandbox: Sandbox): SandboxView => viewOf(deps.run, sandbox);
  return {
    run: (request, signal) => runSandbox(deps, request, signal),
    stop: (id, signal) => stopSandbox(deps, id, signal),
    remove: (id, signal) => removeSandbox(deps, id, signal),
    updateResources: (request, signal) => updateResources(deps, request, signal),
    recover: () => recoverSandboxes(deps),
    get: (id) => deps.registry.find(id),
    visible: () => deps.registry.visible(),
    find(id) {
      const sandbox = deps.registry.find(id);
      return sandbox === undefined ? undefined : view(sandbox);
    },
    list: () => deps.registry.visible().map(view),
    close: () => {
      if (deps.registry.all().length === 0) closeRunDirectory(deps.run);
    },
  };
}
