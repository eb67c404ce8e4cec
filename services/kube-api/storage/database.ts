/**
 * The objects on disk: one SQLite file in WAL mode, fsynced at every commit. What is acknowledged survives a power
 * cut. https://www.sqlite.org/wal.html
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';

/** The layout of the file; raised when it changes. */
export const formatVersion = 1;

/** One object as it is stored. */
export interface Row {
  /** The plural and group: `pods`, `leases.coordination.k8s.io`. */
  resource: string;
  /** Empty for objects without one. */
  namespace: string;
  name: string;
  /** JSON without the resourceVersion, which is `revision`. */
  data: string;
  revision: number;
}

/** A change to write; without data the object is removed. */
export type RowChange = Omit<Row, 'data'> & { data: string | undefined };

/** The file. */
export interface Database {
  /** All objects, and the newest revision that was ever given out. */
  load(): { rows: Row[]; revision: number };
  /** Writes changes in one transaction, durable on return. @throws SkiffError; then nothing was written. */
  write(changes: readonly RowChange[]): void;
  /** Moves the write-ahead log into the file, and gives freed pages back. */
  compact(): void;
  /** Copies the file while it is in use. */
  backup(path: string): Promise<void>;
  close(): void;
}

/** Opens or makes the file. @throws SkiffError DATA_LOSS if it is damaged or from a newer version. */
export function openDatabase(path: string): Database {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return wrap(prepare(path), path);
  } catch (error) {
    if (error instanceof SkiffError) throw error;
    throw new SkiffError(
      'DATA_LOSS',
      `${wrapError(error, `Cannot open the API's objects in ${path}`).message}; restore a backup or move the file away`,
      { cause: error },
    );
  }
}

function prepare(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;');
  db.exec('PRAGMA auto_vacuum = INCREMENTAL; PRAGMA wal_autocheckpoint = 2000;');
  const version = Number(db.prepare('PRAGMA user_version').get()?.user_version ?? 0);
  if (version > formatVersion)
    throw new SkiffError(
      'DATA_LOSS',
      `${path} has format ${version}, this Skiff knows ${formatVersion}: use a newer Skiff`,
    );
  db.exec(`BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS objects (
      resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
      revision INTEGER NOT NULL, data TEXT NOT NULL,
      PRIMARY KEY (resource, namespace, name)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
    INSERT OR IGNORE INTO counter VALUES (1, 1);
    PRAGMA user_version = ${formatVersion};
    COMMIT;`);
  return db;
}

function wrap(db: DatabaseSync, path: string): Database {
  const put = db.prepare(
    'INSERT OR REPLACE INTO objects (resource, namespace, name, revision, data) VALUES (?, ?, ?, ?, ?)',
  );
  const remove = db.prepare('DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?');
  const count = db.prepare('UPDATE counter SET revision = max(revision, ?) WHERE id = 1');
  const apply = ({ resource, namespace, name, revision, data }: RowChange) => {
    if (data === undefined) remove.run(resource, namespace, name);
    else put.run(resource, namespace, name, revision, data);
  };
  return {
    load: () => ({
      rows: db
        .prepare('SELECT resource, namespace, name, revision, data FROM objects')
        .all() as unknown as Row[],
      revision: Number(db.prepare('SELECT revision FROM counter').get()?.revision),
    }),
    write: (changes) => {
      const newest = changes.at(-1)?.revision ?? 0;
      db.exec('BEGIN IMMEDIATE');
      try {
        for (const change of changes) apply(change);
        count.run(newest);
        db.exec('COMMIT');
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK');
        throw cannotStore(error, path);
      }
    },
    compact: () => {
      db.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA incremental_vacuum;');
    },
    backup: async (path) => {
      await backup(db, path);
    },
    close: () => db.close(),
  };
}

/** SQLITE_FULL of https://www.sqlite.org/rescode.html */
const full = 13;

function cannotStore(error: unknown, path: string): SkiffError {
  const isFull = (error as { errcode?: number }).errcode === full;
  const { message } = wrapError(error, 'Cannot store the change');
  return isFull
    ? new SkiffError('INTERNAL', `${message}; make room for ${dirname(path)}`, {
        cause: error,
        errno: 'ENOSPC',
      })
    : new SkiffError('INTERNAL', message, { cause: error });
}
