/** What others want to do, change or veto when a container changes (NRI). */
import type { RuntimeSpec, SpecResources } from '#contracts/oci/runtime.ts';
import type { Container } from './table.ts';

/** What `create`, `start` and `update` throw undoes the change; the others do not throw. */
export interface ContainerHooks {
  /** Before it is made. @returns the spec to make it with. */
  create(container: Container, spec: RuntimeSpec): Promise<RuntimeSpec>;
  /** It could not be made after all. */
  undoCreate(container: Container, spec: RuntimeSpec): Promise<void>;
  created(container: Container): Promise<void>;
  start(container: Container): Promise<void>;
  started(container: Container): Promise<void>;
  /** @returns the limits to set, and what is to be done when no lock is held any more. */
  update(
    container: Container,
    resources: SpecResources,
  ): Promise<{ resources: SpecResources; after(): Promise<void> }>;
  /** After these limits were set. */
  updated(container: Container, resources: SpecResources): Promise<void>;
  /** Before what was made for it is taken away. */
  removed(container: Container): Promise<void>;
}

/** Nobody wants anything. */
export const noHooks: ContainerHooks = {
  create: async (_container, spec) => spec,
  undoCreate: async () => {},
  created: async () => {},
  start: async () => {},
  started: async () => {},
  update: async (_container, resources) => ({ resources, after: async () => {} }),
  updated: async () => {},
  removed: async () => {},
};
