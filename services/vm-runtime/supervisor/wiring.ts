/** The parts that a real supervisor works with: Debian's kernel and our agent as the guest, QEMU, shares, networks. */
import { join } from 'node:path';
import { createSpawner, type Spawner } from '#foundation/linux/spawn.ts';
import { connectAgent } from '../agent-client/connect.ts';
import type { ConnectAgentOptions } from '../agent-client/types.ts';
import { createVmFactory, type VmShape } from '../factory/index.ts';
import { cloneOnly } from '../factory/template.ts';
import type { VmFactory } from '../factory/types.ts';
import { guestImage } from '../guest-image/build.ts';
import { createQemu } from '../hypervisor/qemu/driver.ts';
import type { Say } from './core.ts';
import { cacheDirectory } from './paths.ts';

/** What is to be known. */
export interface WiringDeps {
  /** The runtime's root: templates and waiting VMs are there. */
  root: string;
  /** What is made once for all roots: guest images. */
  cache: string;
  say: Say;
  /** Starts the VMs' processes; one of its own unless told. Whoever is to end while they go on disposes of it. */
  spawner?: Spawner;
  /** Sizes to make ready; none where pods only take what is there. */
  shapes?: readonly VmShape[];
  /** What `refill` makes: templates, and clones of them that wait; or booted VMs that wait. */
  kind?: 'template' | 'cache';
  /** VMs that wait, of each size; none unless told. */
  waiting?: number;
}

/** The factory of a root's VMs: takes one that waits, else clones a template of the wanted size, else boots. */
export function podFactory({
  root,
  cache,
  say,
  shapes = [],
  kind = 'template',
  waiting = 0,
  spawner = createSpawner(),
}: WiringDeps): VmFactory {
  const own = cacheDirectory(root);
  const deps = {
    hypervisor: createQemu({ spawner, cacheDirectory: own }),
    spawner,
    image: () => guestImage({ directory: join(cache, 'guests'), onBuild: (line) => say(line) }),
    connectAgent: (options: ConnectAgentOptions) =>
      connectAgent({ ...options, onLog: (line) => say('guest', { line }) }),
    shapes,
    waiting,
  };
  const templateDeps = { ...deps, directory: join(own, 't') };
  const template = createVmFactory('template', templateDeps);
  const ready = createVmFactory('cache', {
    ...deps,
    directory: join(own, 'w'),
    otherwise: (request) => template.acquire(request),
    ...(kind === 'template' ? { prepare: (request) => cloneOnly(templateDeps, request) } : {}),
  });
  return {
    ...template,
    kind,
    acquire: (request) => ready.acquire(request),
    async refill(signal) {
      if (kind === 'template') await template.refill(signal);
      if (waiting > 0) await ready.refill(signal);
    },
    async drain() {
      await ready.drain();
      await template.drain();
    },
  };
}
