/**
 * Blobs by digest: `blobs/sha256/<hex>`, and what is still being downloaded in `ingest/`. A file under
 * `blobs` had its digest verified when it came there.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The blobs of a store. */
export interface Content {
  /** Where a blob is, or would be. */
  path(digest: string): string;
  /** Where a blob is while it is being downloaded. */
  partialPath(digest: string): string;
  has(digest: string): boolean;
  /** Bytes of a blob; undefined if it is not there. */
  size(digest: string): number | undefined;
  /** A small blob, whole; undefined if it is not there. */
  read(digest: string): Buffer | undefined;
  /**
   * Adds a small blob whose digest the caller has verified. Whole, but not durable before the caller has synced
   * the file system.
   */
  write(digest: string, bytes: Uint8Array): Promise<void>;
  remove(digest: string): void;
  removePartial(digest: string): void;
  /** Every digest. */
  list(): string[];
  listPartials(): string[];
  /** Bytes and number of all blobs. A blob is looked at once: there may be thousands, and they do not change. */
  usage(): { bytes: number; blobs: number };
}

/** Opens the content below `directory`, which is made if absent. */
export function openContent(directory: string): Content {
  const blobs = join(directory, 'blobs');
  const ingest = join(directory, 'ingest');
  for (const folder of [join(blobs, 'sha256'), join(blobs, 'sha384'), join(blobs, 'sha512'), ingest])
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = (digest: string) => join(blobs, ...digest.split(':'));
  const partialPath = (digest: string) => join(ingest, digest.replace(':', '-'));
  const list = () =>
    readdirSync(blobs).flatMap((algorithm) =>
      readdirSync(join(blobs, algorithm))
        .filter((name) => /^[0-9a-f]+$/.test(name))
        .map((hex) => `${algorithm}:${hex}`),
    );
  const sizeOf = (digest: string) => statSync(path(digest), { throwIfNoEntry: false })?.size;
  let sizes = new Map<string, number>();
  return {
    path,
    partialPath,
    has: (digest) => existsSync(path(digest)),
    size: sizeOf,
    read: (digest) => {
      try {
        return readFileSync(path(digest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    write: async (digest, bytes) => {
      if (existsSync(path(digest))) return;
      const temporary = `${path(digest)}.${randomUUID()}.tmp`;
      try {
        await writeFile(temporary, bytes, { mode: 0o600 });
        await rename(temporary, path(digest));
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
    },
    remove: (digest) => rmSync(path(digest), { force: true }),
    removePartial: (digest) => rmSync(partialPath(digest), { force: true }),
    list,
    listPartials: () => readdirSync(ingest).map((name) => name.replace('-', ':')),
    usage: () => {
      sizes = new Map(list().map((digest) => [digest, sizes.get(digest) ?? sizeOf(digest) ?? 0]));
      return { bytes: sizes.values().reduce((sum, size) => sum + size, 0), blobs: sizes.size };
    },
  };
}
