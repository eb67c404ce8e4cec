/** What the verbs of the image store are made from; `index.ts` wires it. */
import type { Platform } from '#contracts/oci/image.ts';
import type { KeyedLocks } from '#foundation/base/locks.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Limiter } from './limiter.ts';
import type { ImagePolicy } from './policy.ts';
import type { ProgressBoard } from './progress.ts';
import type { Reference } from './reference.ts';
import type { RegistryClient } from './registry/types.ts';
import type { SharedWork } from './shared-work.ts';
import type { Catalog } from './store/catalog.ts';
import type { Content } from './store/content.ts';
import type { Layers, UnpackedLayer } from './store/layers.ts';
import type { Leases } from './store/leases.ts';
import type { UnpackLimits } from './unpack/tar-stream.ts';
import type { WorkerPool } from './workers/pool.ts';

/** The parts of the image store. */
export interface ImageParts {
  /** Everything lies below it. */
  directory: string;
  logger: Logger;
  registry: RegistryClient;
  catalog: Catalog;
  /** Resolves when the records that were put into the grouped store by now are on disk. */
  synced(): Promise<void>;
  content: Content;
  layers: Layers;
  leases: Leases;
  pool: WorkerPool;
  board: ProgressBoard;
  /** Bounds downloads under way. */
  downloads: Limiter;
  /** Bounds small blobs under way, until they are unpacked: most of their time is waiting for the registry. */
  smallDownloads: Limiter;
  /** Layers being fetched, so that no two pulls fetch the same. */
  layerWork: SharedWork<UnpackedLayer | undefined>;
  /** Pairs of a blob's digest and a diff id that were found to belong together, with a space between. */
  verified: Set<string>;
  /** Held while a layer is put in place. */
  locks: KeyedLocks;
  /** Whether roots are overlay mounts; else they are copies. */
  overlay: boolean;
  /** The references that a name as people write it may stand for, in order. */
  candidates(name: string): Promise<Reference[]>;
  policy: ImagePolicy;
  platform: Platform;
  limits: UnpackLimits;
}
