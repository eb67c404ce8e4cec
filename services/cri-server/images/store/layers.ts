/**
 * Unpacked layers: each in a directory of its own, `layers/<number>`, short because the names of all layers
 * of an image must fit into one page of mount options. Records are by chain id. A layer is unpacked where it will
 * stay: until it has a record, its directory is one that start-up removes.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTopDirectory } from '#foundation/linux/top-directory.ts';
import type { Records, Store } from '../../store/store.ts';
import type { Unpacked } from '../unpack/unpack-layer.ts';
import type { WorkerPool } from '../workers/pool.ts';
import type { LayerRecord } from './model.ts';

/** A layer that lies unpacked and is nobody's yet. */
export interface UnpackedLayer {
  diffId: string;
  path: string;
  result: Unpacked;
  /** Whether somebody has taken the directory, to keep or to remove it; several pulls may have this same object. */
  taken: boolean;
}

/** The unpacked layers of a store. */
export interface Layers {
  get(chainId: string): LayerRecord | undefined;
  all(): { chainId: string; layer: LayerRecord }[];
  /** A directory that another chain may share: one with this diff id that depends on nothing below it. */
  shareable(diffId: string): LayerRecord | undefined;
  /** A path to unpack into that nobody had before. */
  freshPath(): string;
  /** The directory of a layer. */
  path(layer: LayerRecord): string;
  /** The records of a chain, bottom first; undefined if one is missing. */
  chain(chainIds: readonly string[]): LayerRecord[] | undefined;
  /** Adds a chain that shares the directory of another. */
  share(chainId: string, parent: string | undefined, layer: LayerRecord): void;
  /** Keeps an unpacked layer where it is; `below` are the chain ids below it, bottom first. Not durable yet. */
  adopt(chainId: string, below: readonly string[], unpacked: UnpackedLayer): Promise<void>;
  /**
   * Lets all chains of a layer's damaged directory have a fresh one, in one step; the caller has synced it, and knows
   * that no root is mounted from the damaged one.
   *
   * @returns the path of the damaged one, which the caller removes.
   */
  replace(layer: LayerRecord, fresh: string): string;
  /** Whether the records of these chains are in the database. */
  areDurable(chainIds: readonly string[]): boolean;
  /** Writes the records of these chains to the grouped store; the caller has synced the file system. */
  write(chainIds: readonly string[]): void;
  /** The transaction in which they were written has succeeded. */
  written(chainIds: readonly string[]): void;
  delete(chainId: string): void;
  /** Directories on disk that no record names. */
  orphans(): string[];
}

/** Opens the layers below `directory`. */
export function openLayers(deps: {
  directory: string;
  store: Store;
  /** The same file, with commits that do not wait for the disk. */
  grouped: Store;
  pool: WorkerPool;
}): Layers {
  const { pool } = deps;
  const directory = join(deps.directory, 'layers');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  setTopDirectory(directory);
  const records: Records<LayerRecord> = deps.store.records<LayerRecord>('layer', 1);
  const groupedRecords: Records<LayerRecord> = deps.grouped.records<LayerRecord>('layer', 1);
  const layers = new Map(records.all().map(({ key, value }) => [key, value]));
  const durable = new Set(layers.keys());
  const numbers = readdirSync(directory).map(Number).filter(Number.isInteger);
  let last = Math.max(0, ...numbers);
  const path = (layer: LayerRecord) => join(directory, String(layer.directory));
  const chain = (ids: readonly string[]): LayerRecord[] | undefined => {
    const found = ids.map((id) => layers.get(id));
    return found.every((layer) => layer !== undefined) ? found : undefined;
  };
  return {
    get: (chainId) => layers.get(chainId),
    all: () => [...layers].map(([chainId, layer]) => ({ chainId, layer })),
    shareable: (diffId) => layers.values().find((layer) => layer.diffId === diffId && !layer.adopted),
    freshPath: () => {
      last += 1;
      return join(directory, String(last));
    },
    path,
    chain,
    share: (chainId, parent, layer) => void layers.set(chainId, { ...layer, parent }),
    adopt: async (chainId, below, { diffId, path: where, result }) => {
      const adopted = result.implied.length > 0;
      const lower = chain(below) ?? [];
      if (adopted && below.length > 0)
        await pool.run('adopt', {
          layer: where,
          folders: result.implied,
          below: lower.toReversed().map(path),
        });
      const { hasRoot, opaqueRoot, diskBytes, inodes } = result;
      const number = Number(basename(where));
      const common = { diffId, directory: number, adopted, hasRoot, opaqueRoot, diskBytes, inodes };
      layers.set(chainId, { ...common, parent: below.at(-1) });
    },
    replace: (layer, fresh) => {
      const directory = Number(basename(fresh));
      const changed = [...layers]
        .filter(([, each]) => each.directory === layer.directory)
        .map(([id, each]) => [id, { ...each, directory }] as const);
      deps.store.transaction(() => {
        for (const [id, each] of changed) if (durable.has(id)) records.put(id, each);
      });
      for (const [id, each] of changed) layers.set(id, each);
      return path(layer);
    },
    areDurable: (ids) => ids.every((id) => durable.has(id)),
    write: (ids) => {
      for (const id of new Set(ids)) {
        const layer = layers.get(id);
        if (layer !== undefined && !durable.has(id)) groupedRecords.put(id, layer);
      }
    },
    written: (ids) => {
      for (const id of ids) durable.add(id);
    },
    delete: (chainId) => {
      layers.delete(chainId);
      if (durable.delete(chainId)) records.delete(chainId);
    },
    orphans: () => {
      const used = new Set([...layers.values()].map((layer) => String(layer.directory)));
      return readdirSync(directory)
        .filter((name) => !used.has(name))
        .map((name) => join(directory, name));
    },
  };
}
