/**
 * Copies of the objects: made while the API runs or not, and put back while it does not. Keys and kubeconfigs are no
 * part of a copy: they are made anew where they are missing.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { syncDirectory } from '#foundation/base/files.ts';
import { formatVersion } from './database.ts';

/** What a copy holds. */
export interface BackupSummary {
  objects: number;
  /** The newest resourceVersion. */
  revision: number;
}

/** The file of the objects in an API's directory. */
function objectsFile(directory: string): string {
  return join(directory, 'objects.db');
}

/**
 * Copies the objects of the API in `directory` into a new file, as they are at one moment.
 *
 * @throws SkiffError NOT_FOUND if there are none, ALREADY_EXISTS if the file is there, DATA_LOSS if what was copied
 *   cannot be read.
 */
export async function backupObjects(directory: string, path: string): Promise<BackupSummary> {
  const from = objectsFile(directory);
  if (!existsSync(from))
    throw new SkiffError('NOT_FOUND', `there are no objects in ${directory}: no API has run there`);
  if (existsSync(path))
    throw new SkiffError('ALREADY_EXISTS', `${path} is there already; choose another name or remove it`);
  mkdirSync(dirname(resolve(path)), { recursive: true });
  const part = `${path}.part`;
  rmSync(part, { force: true });
  try {
    const db = new DatabaseSync(from);
    try {
      db.exec('PRAGMA busy_timeout = 5000;');
      await backup(db, part);
    } finally {
      db.close();
    }
    const summary = check(part);
    renameSync(part, path);
    syncDirectory(dirname(resolve(path)));
    return summary;
  } finally {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${part}${end}`, { force: true });
  }
}

/**
 * Puts the objects of a copy in place of those in `directory`, whose API must not run. What was there is kept as
 * `objects.db.replaced`. Resource versions go on above both, so that no client takes old objects for new ones.
 *
 * @throws SkiffError DATA_LOSS if the copy is damaged, or of a newer version; then nothing was changed.
 */
export async function restoreObjects(directory: string, path: string): Promise<BackupSummary> {
  if (!existsSync(path)) throw new SkiffError('NOT_FOUND', `${path} is not there`);
  check(path);
  const to = objectsFile(directory);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const part = `${to}.part`;
  removeDatabase(part);
  const before = existsSync(to) ? check(to).revision : 0;
  const copy = new DatabaseSync(path);
  await backup(copy, part);
  copy.close();
  const summary = raise(part, before);
  if (existsSync(to)) {
    // What is in the write-ahead log belongs to the old file: it goes there before the file is moved.
    const old = new DatabaseSync(to);
    old.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;');
    old.close();
    renameSync(to, `${to}.replaced`);
  }
  renameSync(part, to);
  syncDirectory(directory);
  return summary;
}

function removeDatabase(path: string): void {
  for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${path}${end}`, { force: true });
}

function check(path: string): BackupSummary {
  try {
    const db = new DatabaseSync(path);
    try {
      const found = String(db.prepare('PRAGMA integrity_check').get()?.integrity_check);
      if (found !== 'ok') throw new Error(found);
      const version = Number(db.prepare('PRAGMA user_version').get()?.user_version);
      if (version < 1 || version > formatVersion) throw new Error(`it has format ${version}`);
      return summaryOf(db);
    } finally {
      db.close();
    }
  } catch (error) {
    throw new SkiffError('DATA_LOSS', `${path} is no sound copy of an API's objects: ${messageOf(error)}`);
  }
}

function summaryOf(db: DatabaseSync): BackupSummary {
  return {
    objects: Number(db.prepare('SELECT count(*) AS n FROM objects').get()?.n),
    revision: Number(db.prepare('SELECT revision FROM counter').get()?.revision),
  };
}

function raise(path: string, least: number): BackupSummary {
  const db = new DatabaseSync(path);
  try {
    db.exec('PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;');
    db.prepare('UPDATE counter SET revision = max(revision, ?) + 1').run(least);
    return summaryOf(db);
  } finally {
    db.close();
  }
}
