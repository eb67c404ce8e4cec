/** The parts that a real supervisor works with: Debian's kernel and our agent as the guest, QEMU, shares, networks. */
import { join } from 'node:path';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { connectAgent } from '../agent-client/connect.ts';
import { createVmFactory, type VmShape } from '../factory/index.ts';
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
  /** Sizes to make templates of; none where pods only take what is there. */
  shapes?: readonly VmShape[];
}

/** The factory of a root's VMs: clones where a template of the wanted size is there, boots elsewhere. */
export function podFactory({ root, cache, say, shapes = [] }: WiringDeps): VmFactory {
  const spawner = createSpawner();
  const own = cacheDirectory(root);
  return createVmFactory('template', {
    hypervisor: createQemu({ spawner, cacheDirectory: own }),
    spawner,
    image: () => guestImage({ directory: join(cache, 'guests'), onBuild: (line) => say(line) }),
    connectAgent: (options) => connectAgent({ ...options, onLog: (line) => say('guest', { line }) }),
    directory: join(own, 't'),
    shapes,
  });
}
