/**
 * All objects in memory over the database, with revisions and changes.
 *
 * A write takes effect in memory at once, so that reading and writing back is one step that nobody can come
 * between. All writes of one turn of the event loop are committed together, in one transaction; then they are
 * acknowledged and watches hear of them. If the commit fails, they are undone and all watches start anew.
 */
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import type { Database } from './database.ts';
import { type Change, createHistory, type History, type Stored } from './history.ts';
import { createMemory, type Memory, type ObjectName, stamp } from './memory.ts';

/** What becomes of an object: its new form, its end, or nothing. */
export type Edit = { put: KubeObject } | { remove: KubeObject } | 'keep';

/** The objects. */
export interface Store {
  /** The revision of the newest change. */
  revision(): number;
  get(resource: string, name: ObjectName): Stored | undefined;
  /** All objects of a resource, or of one namespace of it, by namespace and name. */
  list(resource: string, namespace?: string): readonly Stored[];
  /**
   * Reads, decides and writes in one step. `edit` may throw: then nothing is changed. Without a current object
   * `put` creates. Resolves when the change is durable, with the object as it is, or was when it was removed.
   */
  edit(
    resource: string,
    name: ObjectName,
    edit: (current: Stored | undefined) => Edit,
  ): Promise<Stored | undefined>;
  readonly history: History;
  /** How many objects there are of each resource. */
  counts(): Map<string, number>;
  compact(): void;
  backup(path: string): Promise<void>;
  /** Commits what waits and closes the file. */
  close(): void;
}

/** A change that is in memory and not yet on disk. */
interface Waiting {
  resource: string;
  name: ObjectName;
  change: Change;
  done: PromiseWithResolvers<void>;
}

/** Opens the store on a database. */
export function openStore(database: Database): Store {
  const loaded = database.load();
  const memory = createMemory(loaded.rows);
  const history = createHistory(loaded.revision);
  let revision = loaded.revision;
  let waiting: Waiting[] = [];
  const flush = () => {
    const batch = waiting;
    waiting = [];
    commit(batch, database, memory, history, revision);
  };
  return {
    history,
    revision: () => revision,
    get: memory.get,
    list: (resource, namespace) => {
      const all = memory.list(resource);
      return namespace === undefined
        ? all
        : all.filter((each) => each.object.metadata.namespace === namespace);
    },
    edit: async (resource, name, edit) => {
      const previous = memory.get(resource, name);
      const result = edit(previous);
      if (result === 'keep') return previous;
      revision += 1;
      const current = stamp('put' in result ? result.put : result.remove, revision);
      const type = 'remove' in result ? 'DELETED' : previous === undefined ? 'ADDED' : 'MODIFIED';
      const change: Change = { type, revision, current, previous, lines: new Map() };
      const done = Promise.withResolvers<void>();
      memory.place(resource, name, type === 'DELETED' ? undefined : current);
      if (waiting.length === 0) setImmediate(flush);
      waiting.push({ resource, name, change, done });
      await done.promise;
      return current;
    },
    counts: memory.counts,
    compact: database.compact,
    backup: database.backup,
    close: () => {
      flush();
      database.close();
    },
  };
}

function commit(
  batch: readonly Waiting[],
  database: Database,
  memory: Memory,
  history: History,
  revision: number,
): void {
  if (batch.length === 0) return;
  try {
    database.write(batch.map(rowOf));
  } catch (error) {
    for (const { resource, name, change } of batch.toReversed())
      memory.place(resource, name, change.previous);
    history.reset(revision);
    for (const { done } of batch) done.reject(error);
    return;
  }
  for (const { resource, change, done } of batch) {
    history.publish(resource, change);
    done.resolve();
  }
}

function rowOf({ resource, name, change }: Waiting) {
  const data = change.type === 'DELETED' ? undefined : change.current.json;
  return { resource, namespace: name.namespace ?? '', name: name.name, revision: change.revision, data };
}
