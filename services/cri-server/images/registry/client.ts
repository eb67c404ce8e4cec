/** The registry client: see `types.ts` for what it offers. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { RegistryClient, RegistryClientDeps } from './types.ts';

export type * from './types.ts';

/** Makes a client. */
export function createRegistryClient(_deps: RegistryClientDeps = {}): RegistryClient {
  throw new SkiffError('UNIMPLEMENTED', 'The registry client is being built');
}
