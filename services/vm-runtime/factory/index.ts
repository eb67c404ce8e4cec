/** Makes the factory of a kind. See types.ts. */
import { cacheFactory } from './cache.ts';
import type { FactoryDeps } from './deps.ts';
import { directFactory } from './direct.ts';
import { templateFactory } from './template.ts';
import type { FactoryKind, VmFactory } from './types.ts';

export type { FactoryDeps, VmShape } from './deps.ts';

const factories = { direct: directFactory, cache: cacheFactory, template: templateFactory } as const;

/** Makes a factory. Several processes may have one of the same directory. */
export function createVmFactory(kind: FactoryKind, deps: FactoryDeps): VmFactory {
  return factories[kind](deps);
}
