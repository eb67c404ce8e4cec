/**
 * The CRI server's durable records: JSON rows in SQLite, one table for all kinds. A write that returned survives the
 * death of the server, and that of the machine when it is on disk: at once, or with grouped commits after `synced`.
 * A kind carries the version of its shape and refuses rows of a newer one.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { type GroupCommit, groupCommit, syncFile } from './group-commit.ts';

/** The rows of one kind, by key. */
export interface Records<T> {
  put(key: string, value: T): void;
  get(key: string): T | undefined;
  delete(key: string): void;
  /** All rows, oldest key first. */
  all(): { key: string; value: T }[];
}

/** The open store. */
export interface Store extends Disposable {
  /**
   * The rows of `kind`, whose values have the shape of `version`.
   *
   * @param upgrade turns a value of an older version into this one.
   */
  records<T>(kind: string, version: number, upgrade?: (value: unknown, from: number) => T): Records<T>;
  /** Runs `work` as one transaction: all of its writes or none. */
  transaction<T>(work: () => T): T;
  /** Resolves when all that was written by now is on disk. @throws SkiffError INTERNAL if the disk fails. */
  synced(): Promise<void>;
  close(): void;
}

/** How a store is opened. */
export interface StoreOptions {
  /** Commits do not wait for the disk; `synced` does, for all at once. Every commit waits unless told. */
  grouped?: boolean;
}

/**
 * Opens the store at `path`, made if absent; `:memory:` for tests. A process may open one more than once.
 *
 * @throws SkiffError INTERNAL if it cannot be opened (locked by another server, damaged).
 */
export function openStore(path: string, { grouped = false }: StoreOptions = {}): Store {
  const database = openDatabase(path, grouped);
  database.exec(`
    CREATE TABLE IF NOT EXISTS records (
      kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, value TEXT NOT NULL,
      PRIMARY KEY (kind, key)
    ) WITHOUT ROWID, STRICT`);
  const commits = grouped && path !== ':memory:' ? openCommits(path) : undefined;
  const close = () => {
    commits?.[Symbol.dispose]();
    database.close();
  };
  const written = () => commits?.written();
  return {
    records: (kind, version, upgrade) => recordsOf(database, kind, version, written, upgrade),
    transaction: (work) => transaction(database, work),
    synced: async () => commits?.synced(),
    close,
    [Symbol.dispose]: close,
  };
}

/** Commits are in the write-ahead log, which is one file as long as the database is open. */
function openCommits(path: string): GroupCommit {
  const fd = openSync(`${path}-wal`, 'a');
  const commits = groupCommit(async () => {
    try {
      await syncFile(fd);
    } catch (error) {
      throw wrapError(error, `Cannot write the store ${path} to disk`);
    }
  });
  return {
    ...commits,
    [Symbol.dispose]: () => {
      commits[Symbol.dispose]();
      closeSync(fd);
    },
  };
}

function openDatabase(path: string, grouped: boolean): DatabaseSync {
  try {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(path);
    // NORMAL: the log is synced before it goes into the database, and not at each commit.
    const synchronous = grouped ? 'NORMAL' : 'FULL';
    database.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA busy_timeout = 2000`,
    );
    return database;
  } catch (error) {
    throw new SkiffError('INTERNAL', `Cannot open the store ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // Of some failures, such as a full disk, SQLite may have rolled back itself.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function recordsOf<T>(
  database: DatabaseSync,
  kind: string,
  version: number,
  written: () => void,
  upgrade?: (value: unknown, from: number) => T,
): Records<T> {
  const put = database.prepare(
    'INSERT OR REPLACE INTO records (kind, key, version, value) VALUES (?, ?, ?, ?)',
  );
  const get = database.prepare('SELECT version, value FROM records WHERE kind = ? AND key = ?');
  const remove = database.prepare('DELETE FROM records WHERE kind = ? AND key = ?');
  const all = database.prepare('SELECT key, version, value FROM records WHERE kind = ? ORDER BY key');
  const decode = (key: string, from: number, text: string): T => {
    const value: unknown = JSON.parse(text, reviveBigint);
    if (from === version) return value as T;
    if (from < version && upgrade !== undefined) return upgrade(value, from);
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `The ${kind} record "${key}" has version ${from}; this Skiff reads ${version}`,
    );
  };
  return {
    put: (key, value) => {
      put.run(kind, key, version, JSON.stringify(value, replaceBigint));
      written();
    },
    get: (key) => {
      const row = get.get(kind, key) as { version: number; value: string } | undefined;
      return row === undefined ? undefined : decode(key, row.version, row.value);
    },
    delete: (key) => {
      remove.run(kind, key);
      written();
    },
    all: () =>
      (all.all(kind) as { key: string; version: number; value: string }[]).map((row) => ({
        key: row.key,
        value: decode(row.key, row.version, row.value),
      })),
  };
}

/** JSON has no bigint: one is written as `{"$bigint": "123"}`. */
function replaceBigint(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? { $bigint: value.toString() } : value;
}

function reviveBigint(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('$bigint' in value)) return value;
  return BigInt(String(value.$bigint));
}
