/** All objects in memory, by resource, namespace and name, always sorted. */
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
  /** By namespace and name. The array is a snapshot: later changes make new ones. */
  list(resource: string): readonly Stored[];
  /** Puts an object in its place; undefined removes it. */
  place(resource: string, name: ObjectName, stored: Stored | undefined): void;
  counts(): Map<string, number>;
}

/** The objects of one resource. */
interface Table {
  /** Sorted; at the same places as `items`. */
  keys: string[];
  items: readonly Stored[];
}

/** Fills the memory from the rows of the database. */
export function createMemory(rows: readonly Row[]): Memory {
  const tables = new Map<string, Table>();
  for (const [resource, own] of Map.groupBy(rows, (row) => row.resource)) {
    const sorted = own.map((row) => ({ key: keyOf(row), row })).sort((a, b) => (a.key < b.key ? -1 : 1));
    const items = sorted.map(({ row }) => stamp(JSON.parse(row.data) as KubeObject, row.revision));
    tables.set(resource, { keys: sorted.map(({ key }) => key), items });
  }
  return {
    get: (resource, name) => {
      const table = tables.get(resource);
      if (table === undefined) return undefined;
      const { at, found } = search(table.keys, keyOf(name));
      return found ? table.items[at] : undefined;
    },
    list: (resource) => tables.get(resource)?.items ?? [],
    place: (resource, name, stored) => {
      const table = tables.get(resource) ?? { keys: [], items: [] };
      tables.set(resource, table);
      placeIn(table, keyOf(name), stored);
    },
    counts: () => new Map([...tables].map(([resource, { keys }]) => [resource, keys.length])),
  };
}

/** Copying the references of a snapshot costs microseconds; sorting anew would cost milliseconds. */
function placeIn(table: Table, key: string, stored: Stored | undefined): void {
  const { at, found } = search(table.keys, key);
  if (stored === undefined) {
    if (!found) return;
    table.keys.splice(at, 1);
    table.items = table.items.toSpliced(at, 1);
  } else if (found) {
    table.items = table.items.with(at, stored);
  } else {
    table.keys.splice(at, 0, key);
    table.items = table.items.toSpliced(at, 0, stored);
  }
}

/** Where a key is, or belongs. */
function search(keys: readonly string[], key: string): { at: number; found: boolean } {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return { at: low, found: keys[low] === key };
}

/** Namespace and name as one key that sorts by both. */
function keyOf({ namespace, name }: ObjectName): string {
  return `${namespace ?? ''}/${name}`;
}

/** An object with its revision as resourceVersion. */
export function stamp(object: KubeObject, revision: number): Stored {
  const stamped = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
  return { object: stamped, json: JSON.stringify(stamped), revision };
}
