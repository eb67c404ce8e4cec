/**
 * The image store: pulls images, keeps their blobs and unpacked layers, makes roots for containers.
 *
 * A pull resolves the reference through `registry/`, downloads missing blobs into files that worker threads
 * (`workers/`, `unpack/`) follow as they grow, and unpacks each layer in the same pass into a directory of its
 * own (`store/`). Names, layers and roots are records in the CRI server's SQLite store. `roots/` mounts layers
 * for containers; `collect.ts` removes what nobody needs; `rpc.ts` and `admin.ts` are the edges.
 */
import { mkdirSync } from 'node:fs';
import type { Platform } from '#contracts/oci/image.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { ImageSource, LocalImage } from '../ports.ts';
import type { Store } from '../store/store.ts';
import { loadImages } from './archive/load.ts';
import { type SaveRequest, saveImages } from './archive/save.ts';
import { collect } from './collect.ts';
import { buildDebian, type DebianBuild } from './debian/build.ts';
import type { ImageParts } from './deps.ts';
import { limiter } from './limiter.ts';
import { toLocalImage } from './local-image.ts';
import { acceptEverything, type ImagePolicy } from './policy.ts';
import { createProgressBoard, type ProgressBoard } from './progress.ts';
import { hostPlatform } from './pull/platform.ts';
import { type PullRequest, pullImage } from './pull/pull.ts';
import { recoverImages } from './recover.ts';
import { parseReference, type Reference } from './reference.ts';
import type { RegistryClient } from './registry/types.ts';
import { rehearse } from './rehearse.ts';
import { overlayWorks } from './roots/probe.ts';
import { openRoots } from './roots/roots.ts';
import { sharedWork } from './shared-work.ts';
import { openCatalog } from './store/catalog.ts';
import { openContent } from './store/content.ts';
import { openLayers } from './store/layers.ts';
import { createLeases } from './store/leases.ts';
import type { ImageRecord } from './store/model.ts';
import { defaultLimits, type UnpackLimits } from './unpack/tar-stream.ts';
import { type Pruned, prune } from './verbs/prune.ts';
import { type PushRequest, pushImage } from './verbs/push.ts';
import { listReferrers, type Referrer, type ReferrersRequest } from './verbs/referrers.ts';
import { type Removed, type RemoveOptions, removeImage, removeName } from './verbs/remove.ts';
import { tagImage } from './verbs/tag.ts';
import { type Finding, type VerifyOptions, verifyImage } from './verbs/verify.ts';
import { createWorkerPool } from './workers/pool.ts';

export type { SaveRequest } from './archive/save.ts';
export type { DebianBuild } from './debian/build.ts';
export type { PullRequest } from './pull/pull.ts';
export type { PushProgress, PushRequest } from './verbs/push.ts';
export type { Checked, Finding, VerifyOptions } from './verbs/verify.ts';

/** What the image store is made from. */
export interface ImagesDeps {
  /** Everything lies below it; on one file system that can hold overlayfs's upper directories. */
  directory: string;
  store: Store;
  /**
   * The same file with commits that do not wait for the disk: for records of roots, and of images that come, whose pull
   * waits beside the event loop. `store` unless told.
   */
  groupedStore?: Store;
  registry: RegistryClient;
  logger: Logger;
  /** The platform to choose from indexes; this machine's unless told. */
  platform?: Platform;
  limits?: Partial<UnpackLimits>;
  /** The entry of worker threads, where it was bundled elsewhere. */
  workerFile?: URL;
  /** How roots are made; `overlay` where that works, unless told. */
  roots?: 'overlay' | 'copy';
  /** What short names stand for (`createShortNames`); Docker Hub's images unless told. */
  shortNames?: { candidates(name: string): Promise<Reference[]> };
  /** Which images may be pulled (`openPolicy`); all unless told. */
  policy?: ImagePolicy;
  /** Blobs that may be downloaded at once; 3 unless told. */
  parallelDownloads?: number;
}

/** The image store. */
export interface Images extends ImageSource {
  /** Every image. */
  list(): ImageRecord[];
  /** The whole record of an image. */
  inspect(reference: string): ImageRecord | undefined;
  /** Pulls; identical pulls at the same time are one. @throws see `pullImage`. */
  pull(request: PullRequest, signal?: AbortSignal): Promise<LocalImage>;
  /** Builds an image from Debian packages. */
  buildDebian(build: DebianBuild, signal?: AbortSignal): Promise<LocalImage>;
  /** Loads every image of an archive or layout. */
  load(path: string, signal?: AbortSignal): Promise<LocalImage[]>;
  /** Saves images. @returns bytes of what was saved. */
  save(request: SaveRequest): Promise<number>;
  push(request: PushRequest, signal?: AbortSignal): Promise<{ digest: string }>;
  /** Checks an image to the last bit and mends it. @throws SkiffError NOT_FOUND. */
  verify(reference: string, options?: VerifyOptions, signal?: AbortSignal): Promise<Finding[]>;
  /** What the image's registry has that refers to it. */
  referrers(request: ReferrersRequest, signal?: AbortSignal): Promise<Referrer[]>;
  tag(source: string, target: string): LocalImage;
  /** Removes one name, and the image with its last. @throws SkiffError FAILED_PRECONDITION if containers use it. */
  untag(reference: string, options?: RemoveOptions): Promise<Removed>;
  /** Removes an image with all its names, as the CRI wants it: containers that use it keep its layers. */
  remove(reference: string): Promise<Removed>;
  /** Never to be garbage-collected, or not any more. */
  pin(reference: string, pinned: boolean): void;
  /**
   * Removes images without a tag (with `all`, every image that no container uses and nobody pinned), and all
   * content that nothing needs.
   */
  prune(options?: { all?: boolean }): Promise<Pruned>;
  /** Whether roots can have the owners of a user namespace, found out by trying. */
  canMapIds(userNamespace: string): boolean;
  /** Disk usage of blobs and layers. */
  usage(): { path: string; bytes: number; inodes: number };
  /** Disk usage of the roots' own layers. */
  rootsUsage(): Promise<{ bytes: number; inodes: number }>;
  /** Prepares for the first pull, when there is nothing else to do: it then is as quick as any. Never rejects. */
  rehearse(signal?: AbortSignal): Promise<void>;
  /** Progress of pulls. */
  readonly board: Pick<ProgressBoard, 'current' | 'watch'>;
  /** Ends the worker threads; pulls under way fail. */
  close(): Promise<void>;
}

/** Opens the image store and repairs what a crash left. */
export function createImages(deps: ImagesDeps): Images {
  mkdirSync(deps.directory, { recursive: true, mode: 0o711 });
  const parts = assemble(deps);
  const roots = openRoots(parts, deps.groupedStore ?? deps.store);
  const pulls = sharedWork<ImageRecord>();
  recoverImages(parts);
  return {
    ...roots,
    list: () => parts.catalog.all(),
    inspect: (reference) => parts.catalog.find(reference),
    find: (reference) => {
      const image = parts.catalog.find(reference);
      return image === undefined ? undefined : toLocalImage(image);
    },
    pull: async (request, signal) => {
      const key = JSON.stringify([request.reference, request.auth, request.namespace]);
      return toLocalImage(await pulls.join(key, (shared) => pullImage(parts, request, shared), signal));
    },
    buildDebian: async (build, signal) => toLocalImage(await buildDebian(parts, build, signal ?? never())),
    load: async (path, signal) => (await loadImages(parts, path, signal ?? never())).map(toLocalImage),
    save: (request) => saveImages(parts, request),
    push: (request, signal) => pushImage(parts, request, signal ?? never()),
    referrers: (request, signal) => listReferrers(parts, request, signal ?? never()),
    verify: async (reference, options, signal) => {
      const image = parts.catalog.find(reference);
      if (image === undefined)
        throw new SkiffError('NOT_FOUND', `Cannot verify "${reference}": there is no such image here`);
      return verifyImage(
        { ...parts, usersOfLayer: roots.usersOfLayer },
        image,
        options ?? {},
        signal ?? never(),
      );
    },
    tag: (source, target) => toLocalImage(tagImage(parts, source, target)),
    untag: async (reference, options) => {
      const removed = removeName(parts, roots.usersOf, reference, options);
      if (removed.deleted !== undefined) collect(parts, roots.all());
      return removed;
    },
    remove: async (reference) => {
      const image = parts.catalog.find(reference);
      if (image === undefined) return { untagged: [] };
      const removed = removeImage(parts, image);
      collect(parts, roots.all());
      return removed;
    },
    pin: (reference, pinned) => {
      const image = parts.catalog.find(reference);
      if (image !== undefined) parts.catalog.put({ ...image, pinned });
    },
    prune: (options) => prune(parts, roots.all(), options),
    canMapIds: (userNamespace) => parts.overlay && overlayWorks(parts.directory, userNamespace),
    usage: () => usage(parts),
    rehearse: (signal) => rehearse(parts, signal ?? never()),
    board: parts.board,
    close: () => parts.pool.close(),
  };
}

/** A signal that never aborts. */
function never(): AbortSignal {
  return new AbortController().signal;
}

function assemble(deps: ImagesDeps): ImageParts {
  const { directory, store, registry, logger } = deps;
  const grouped = deps.groupedStore ?? store;
  const catalog = openCatalog(store, grouped);
  const layers = catalog.all().flatMap((image) => image.layers);
  const pool = createWorkerPool(deps.workerFile === undefined ? {} : { file: deps.workerFile });
  return {
    directory,
    logger,
    registry,
    pool,
    catalog,
    synced: () => grouped.synced(),
    verified: new Set(layers.map(({ descriptor, diffId }) => `${descriptor.digest} ${diffId}`)),
    content: openContent(directory),
    layers: openLayers({ directory, store, grouped, pool }),
    leases: createLeases(),
    board: createProgressBoard(),
    downloads: limiter(deps.parallelDownloads ?? 3),
    smallDownloads: limiter(4 * (deps.parallelDownloads ?? 3)),
    layerWork: sharedWork(),
    locks: keyedLocks(),
    overlay: deps.roots === undefined ? overlayWorks(directory) : deps.roots === 'overlay',
    candidates: deps.shortNames?.candidates ?? (async (name) => [parseReference(name)]),
    policy: deps.policy ?? acceptEverything,
    platform: deps.platform ?? hostPlatform(),
    limits: { ...defaultLimits, ...deps.limits },
  };
}

function usage({ content, layers, directory }: ImageParts): { path: string; bytes: number; inodes: number } {
  const unique = new Map(layers.all().map(({ layer }) => [layer.directory, layer]));
  let { bytes, blobs: inodes } = content.usage();
  for (const layer of unique.values()) {
    bytes += layer.diskBytes;
    inodes += layer.inodes;
  }
  return { path: directory, bytes, inodes };
}
