/**
 * ConfigMaps and secrets that pods name: each is watched by itself, as long as a registered pod names it. A node
 * may read only what its pods use, so there is no watch of them all.
 */
import type { KubeObject, Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { namespaceOf, uidOf } from '../pods/identity.ts';
import { type ReflectorDeps, runReflector } from './reflector.ts';

export interface ObjectCache<T> {
  /** Watches the objects that a pod names; those it named before and no longer does are let go. */
  register(pod: Pod, names: ReadonlySet<string>): void;
  unregister(pod: Pod): void;
  /** The object, from the watch if there is one; undefined if there is none. @throws SkiffError of the API. */
  get(namespace: string, name: string): Promise<T | undefined>;
  close(): void;
}

interface Entry<T> {
  value: T | undefined;
  filled: boolean;
  users: Set<string>;
  stop: AbortController;
}

/** @param resource `configmaps` or `secrets`. */
export function createObjectCache<T extends KubeObject>(
  deps: ReflectorDeps,
  resource: string,
): ObjectCache<T> {
  const entries = new Map<string, Entry<T>>();
  const collection = (namespace: string) => `/api/v1/namespaces/${namespace}/${resource}`;
  const open = (namespace: string, name: string): Entry<T> => {
    const entry: Entry<T> = {
      value: undefined,
      filled: false,
      users: new Set(),
      stop: new AbortController(),
    };
    const request = {
      path: collection(namespace),
      query: { fieldSelector: `metadata.name=${name}` },
      onChange(items: ReadonlyMap<string, T>) {
        entry.value = items.get(`${namespace}/${name}`);
        entry.filled = true;
      },
    };
    void runReflector<T>(deps, request, entry.stop.signal);
    return entry;
  };
  const drop = (key: string, entry: Entry<T>, uid: string) => {
    entry.users.delete(uid);
    if (entry.users.size > 0) return;
    entry.stop.abort();
    entries.delete(key);
  };
  return {
    register(pod, names) {
      const namespace = namespaceOf(pod);
      const wanted = new Set([...names].map((name) => `${namespace}/${name}`));
      for (const [key, entry] of [...entries]) {
        if (entry.users.has(uidOf(pod)) && !wanted.has(key)) drop(key, entry, uidOf(pod));
      }
      for (const name of names) {
        const key = `${namespace}/${name}`;
        const entry = entries.get(key) ?? open(namespace, name);
        entries.set(key, entry);
        entry.users.add(uidOf(pod));
      }
    },
    unregister(pod) {
      for (const [key, entry] of [...entries]) if (entry.users.has(uidOf(pod))) drop(key, entry, uidOf(pod));
    },
    async get(namespace, name) {
      const entry = entries.get(`${namespace}/${name}`);
      if (entry?.filled === true) return entry.value;
      try {
        return await deps.client.get<T>(`${collection(namespace)}/${name}`);
      } catch (error) {
        if (isSkiffError(error, 'NOT_FOUND')) return undefined;
        throw error;
      }
    },
    close() {
      for (const { stop } of entries.values()) stop.abort();
      entries.clear();
    },
  };
}
