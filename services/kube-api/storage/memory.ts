/** All objects in memory, by resource, namespace and name. */
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import type { Row } from './database.ts';
import type { Stored } from './history.ts';

/** What tells one object from another within a resource. */
export interface ObjectName {
  namespace?: string;
  name: string;
}

/** The objects. */
export interface Memory {
  get(resource: string, name: ObjectName): Stored | undefined;
  /** By namespace and name; the array is not to be changed. */
  list(resource: string): readonly Stored[];
  /** Puts an object in its place; undefined removes it. */
  place(resource: string, name: ObjectName, stored: Stored | undefined): void;
  counts(): Map<string, number>;
}

/** Fills the memory from the rows of the database. */
export function createMemory(rows: readonly Row[]): Memory {
  const resources = new Map<string, Map<string, Stored>>();
  const sorted = new Map<string, readonly Stored[]>();
  const table = (resource: string) => {
    const found = resources.get(resource) ?? new Map<string, Stored>();
    resources.set(resource, found);
    return found;
  };
  for (const row of rows) {
    const object = JSON.parse(row.data) as KubeObject;
    table(row.resource).set(keyOf(row), stamp(object, row.revision));
  }
  return {
    get: (resource, name) => resources.get(resource)?.get(keyOf(name)),
    list: (resource) => {
      const all = sorted.get(resource) ?? sortedValues(table(resource));
      sorted.set(resource, all);
      return all;
    },
    place: (resource, name, stored) => {
      sorted.delete(resource);
      if (stored === undefined) table(resource).delete(keyOf(name));
      else table(resource).set(keyOf(name), stored);
    },
    counts: () => new Map([...resources].map(([resource, objects]) => [resource, objects.size])),
  };
}

/** Namespace and name as one key that sorts by both. */
function keyOf({ namespace, name }: ObjectName): string {
  return `${namespace ?? ''}/${name}`;
}

function sortedValues(table: ReadonlyMap<string, Stored>): Stored[] {
  return [...table.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, stored]) => stored);
}

/** An object with its revision as resourceVersion. */
export function stamp(object: KubeObject, revision: number): Stored {
  const stamped = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
  return { object: stamped, json: JSON.stringify(stamped), revision };
}
