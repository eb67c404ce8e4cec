/** The sandboxes in memory: by id, by unique prefix of an id, and by name. */
import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { canBeSeen, type Sandbox } from './lifecycle.ts';

/** All sandboxes, those in the making included. */
export interface SandboxRegistry {
  /** @throws SkiffError ALREADY_EXISTS if the name is another sandbox's. */
  add(sandbox: Sandbox): void;
  delete(sandbox: Sandbox): void;
  byName(config: PodSandboxConfig): Sandbox | undefined;
  /**
   * Finds one that clients may see, by its id or a unique prefix of it.
   *
   * @throws SkiffError INVALID_ARGUMENT if the prefix is not unique.
   */
  find(id: string): Sandbox | undefined;
  /** Those that clients may see, oldest first. */
  visible(): Sandbox[];
  all(): Sandbox[];
}

/** Pod name, namespace, uid and attempt: one sandbox each. */
export function nameOf({ metadata }: PodSandboxConfig): string {
  return JSON.stringify([metadata?.name, metadata?.namespace, metadata?.uid, metadata?.attempt]);
}

/** Makes an empty registry. */
export function createRegistry(): SandboxRegistry {
  const byId = new Map<string, Sandbox>();
  const names = new Map<string, Sandbox>();
  const visible = () => [...byId.values()].filter(canBeSeen);
  return {
    add(sandbox) {
      const name = nameOf(sandbox.config);
      const other = names.get(name);
      if (other !== undefined) throw nameTaken(sandbox.config, other);
      names.set(name, sandbox);
      byId.set(sandbox.id, sandbox);
    },
    delete(sandbox) {
      byId.delete(sandbox.id);
      const name = nameOf(sandbox.config);
      if (names.get(name) === sandbox) names.delete(name);
    },
    byName: (config) => names.get(nameOf(config)),
    find(id) {
      const exact = byId.get(id);
      if (exact !== undefined) return canBeSeen(exact) ? exact : undefined;
      if (id === '' || id.length >= 64) return undefined;
      const found = visible().filter((sandbox) => sandbox.id.startsWith(id));
      if (found.length > 1)
        throw new SkiffError(
          'INVALID_ARGUMENT',
          `Sandbox id "${id}" fits ${found.length} sandboxes; give more of it`,
        );
      return found[0];
    },
    visible,
    all: () => [...byId.values()],
  };
}

/** The error for a name that a finished sandbox holds. */
export function nameTaken(config: PodSandboxConfig, other: Sandbox): SkiffError {
  const { name = '', namespace = '', attempt = 0 } = config.metadata ?? {};
  return new SkiffError(
    'ALREADY_EXISTS',
    `Pod ${namespace}/${name} (attempt ${attempt}) has the sandbox ${other.id}, which is ${other.state.phase}; ` +
      'remove it first or count the attempt up',
  );
}
