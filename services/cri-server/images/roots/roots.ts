/** Roots of containers: made from an image's layers and an own upper one, remade after a reboot, removed. */
import { chownSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { openRoot } from '#foundation/linux/at.ts';
import { bindMount, mountsBelow, unmountAll } from '#foundation/linux/mount.ts';
import { isPinned } from '#foundation/linux/namespaces.ts';
import type { ImageSource, RootRequest } from '../../ports.ts';
import type { Records, Store } from '../../store/store.ts';
import type { ImageParts } from '../deps.ts';
import { discard } from '../pull/fetch-layer.ts';
import type { LayerRecord, RootRecord } from '../store/model.ts';
import { removeTreeAt } from '../unpack/remove-tree.ts';
import { smallTreeUsage } from '../unpack/usage.ts';
import { copyRootAttributes } from './attributes.ts';
import { requireOverlay, saveChanges } from './changes.ts';
import { type RootLayout, type RootPaths, rootLayout } from './layout.ts';
import { mountRoot } from './mount-root.ts';
import { totalUsage } from './total-usage.ts';

/**
 * Inodes of a tree that is measured or removed right here: a millisecond. Threads for it would never be idle, as a kubelet asks
 * every few seconds, and each takes twenty megabytes.
 */
const smallTree = 200;

/** Roots, and which layers they hold. */
export interface Roots
  extends Pick<
    ImageSource,
    'prepareRoot' | 'removeRoot' | 'rootUsage' | 'recoverRoots' | 'saveChanges' | 'layOut'
  > {
  /** Every root there is. */
  all(): RootRecord[];
  /** The keys of the roots that were made from an image. */
  usersOf(imageId: string): string[];
  /** The keys of the roots that show the directory of a layer; a copy shows none. */
  usersOfLayer(layer: LayerRecord): string[];
  /** What all of them take on disk; measured anew after a while. */
  rootsUsage(): Promise<{ bytes: number; inodes: number }>;
}

/** Opens the roots of a store. */
export function openRoots(parts: ImageParts, store: Store): Roots {
  const records: Records<RootRecord> = store.records<RootRecord>('root', 1);
  const layout = rootLayout(parts.directory);
  const roots = new Map(records.all().map(({ key, value }) => [key, value]));
  const remove = async (key: string): Promise<void> => {
    await removeDirectories(parts, layout, layout.nameOf(key));
    roots.delete(key);
    records.delete(key);
  };
  const usageOf = async (key: string) => {
    const { upper, merged } = layout.paths(key);
    const own = parts.overlay ? upper : merged;
    return smallTreeUsage(own, smallTree) ?? parts.pool.run('usage', own);
  };
  const locked = <T>(key: string, work: () => Promise<T>) => parts.locks.run(`root ${key}`, work);
  return {
    all: () => [...roots.values()],
    usersOf: (imageId) => [...roots].filter(([, root]) => root.imageId === imageId).map(([key]) => key),
    usersOfLayer: ({ directory }) =>
      [...roots]
        .filter(([, { chain }]) => chain.some((id) => parts.layers.get(id)?.directory === directory))
        .flatMap(([key]) => (parts.overlay ? [key] : [])),
    prepareRoot: (request) =>
      locked(request.key, async () => {
        const { merged } = layout.paths(request.key);
        const there = roots.get(request.key);
        if (there !== undefined && isReady(parts, merged)) return { path: merged };
        const record = there ?? describeRoot(parts, request);
        // First the record, so that garbage collection spares the layers.
        roots.set(request.key, record);
        await using undo = undoStack();
        // One that was there before holds what a container wrote: it stays, whatever happens.
        if (there === undefined) undo.defer('remove the root', () => remove(request.key));
        if (there === undefined) records.put(request.key, record);
        await makeRoot(parts, layout, request.key, record, request.changes);
        undo.commit();
        return { path: merged };
      }),
    rootsUsage: totalUsage({ keys: () => roots.keys(), usageOf }),
    removeRoot: (key) => locked(key, () => remove(key)),
    rootUsage: async (key) => {
      const { bytes, inodes } = await usageOf(key);
      return { bytes: BigInt(bytes), inodes: BigInt(inodes) };
    },
    saveChanges: async (key, archive) => {
      requireOverlay(parts.overlay, parts.directory);
      return saveChanges(layout.paths(key).upper, archive);
    },
    layOut: async (archive, target) => {
      await parts.pool.run('layOut', { archive, target, limits: parts.limits });
    },
    recoverRoots: async (keep) => {
      for (const [key, record] of [...roots]) {
        if (!keep.has(key)) await remove(key);
        else await remake(parts, layout, key, record);
      }
      const known = new Set([...roots.keys()].map((key) => layout.nameOf(key)));
      for (const name of layout.names()) if (!known.has(name)) await removeDirectories(parts, layout, name);
    },
  };
}

function describeRoot(parts: ImageParts, request: RootRequest): RootRecord {
  const { key, imageId, readOnly, idMap, mountLabel } = request;
  const image = parts.catalog.find(imageId);
  if (image === undefined)
    throw new SkiffError(
      'NOT_FOUND',
      `Cannot make the root "${key}": there is no image "${imageId}" here; pull it`,
    );
  const chain = image.layers.map((layer) => layer.chainId);
  if (idMap !== undefined && !parts.overlay)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Cannot make the root "${key}" for a user namespace: overlayfs does not work in ${parts.directory}`,
    );
  return {
    imageId: image.id,
    chain,
    readOnly: readOnly === true,
    ...(idMap === undefined ? {} : { idMap }),
    ...(mountLabel === undefined ? {} : { mountLabel }),
  };
}

/**
 * One root that cannot be remade must not keep the others from it: its container will fail to start, and say why.
 * A reboot ends user namespaces with their pods: nothing will run on such a root again.
 */
async function remake(parts: ImageParts, layout: RootLayout, key: string, record: RootRecord): Promise<void> {
  if (record.idMap !== undefined && !isPinned(record.idMap.userNamespace)) return;
  try {
    if (!isReady(parts, layout.paths(key).merged)) await makeRoot(parts, layout, key, record);
  } catch (error) {
    parts.logger.error({ root: key, error: messageOf(error) }, 'cannot mount the root of a container again');
  }
}

async function makeRoot(
  parts: ImageParts,
  layout: RootLayout,
  key: string,
  record: RootRecord,
  changes?: string,
): Promise<void> {
  try {
    const paths = layout.paths(key);
    const layers = visibleLayers(parts, record);
    mkdirSync(paths.directory, { recursive: true, mode: 0o711 });
    if (changes !== undefined && !existsSync(paths.upper)) await layOutChanges(parts, paths, layers, changes);
    if (parts.overlay) overlayRoot(parts, paths, layers, record);
    else await copyRoot(parts, paths, layers, record.readOnly);
  } catch (error) {
    throw wrapError(error, `Cannot make the root "${key}" from the image ${record.imageId}`);
  }
}

function overlayRoot(
  parts: ImageParts,
  paths: RootPaths,
  layers: LayerRecord[],
  { readOnly, idMap, mountLabel }: RootRecord,
): void {
  const lower = layers.map((layer) => parts.layers.path(layer)).reverse();
  const own = readOnly ? paths.top : paths.upper;
  const isNew = !existsSync(own);
  for (const path of readOnly ? [paths.top] : [paths.upper, paths.top]) makeOwned(path, idMap);
  // Overlayfs shows the root as its topmost directory is.
  const rooted = layers.findLast((layer) => layer.hasRoot);
  if (isNew && rooted !== undefined) copyRootAttributes(parts.layers.path(rooted), own, idMap);
  if (!readOnly) mkdirSync(paths.work, { recursive: true, mode: 0o700 });
  // An image without layers still needs a directory below; a view must begin with the right root.
  // A single layer would be shown by a bind mount, which cannot have a label of its own.
  const needsTop =
    lower.length === 0 || (readOnly && (layers.at(-1)?.hasRoot !== true || mountLabel !== undefined));
  mountRoot({
    paths,
    lower: needsTop ? [paths.top, ...lower] : lower,
    readOnly,
    ...(idMap === undefined || lower.length === 0 ? {} : { userNamespace: idMap.userNamespace }),
    ...(mountLabel === undefined ? {} : { label: mountLabel }),
  });
}

/** An upper directory that is not empty: the changes of a container that was checkpointed. */
async function layOutChanges(
  parts: ImageParts,
  { upper, top }: RootPaths,
  layers: LayerRecord[],
  archive: string,
): Promise<void> {
  requireOverlay(parts.overlay, parts.directory);
  await parts.pool.run('remove', top);
  const { hasRoot } = await parts.pool.run('layOut', { archive, target: top, limits: parts.limits });
  const rooted = hasRoot ? undefined : layers.findLast((layer) => layer.hasRoot);
  if (rooted !== undefined) copyRootAttributes(parts.layers.path(rooted), top);
  renameSync(top, upper);
}

/** Makes a directory of the root's own; it is root's in the namespace. */
function makeOwned(path: string, idMap: RootRecord['idMap']): void {
  if (mkdirSync(path, { recursive: true, mode: 0o755 }) !== undefined && idMap !== undefined)
    chownSync(path, idMap.uid, idMap.gid);
}

/** Copies the layers together beside the place, so that a crash leaves no half of them there. */
async function copyRoot(
  parts: ImageParts,
  { merged, work }: RootPaths,
  layers: LayerRecord[],
  readOnly: boolean,
): Promise<void> {
  if (!existsSync(merged)) {
    await parts.pool.run('remove', work);
    await parts.pool.run('copyLayers', {
      layers: layers.map((layer) => parts.layers.path(layer)),
      target: work,
    });
    renameSync(work, merged);
  }
  if (readOnly) bindMount(merged, merged, { readOnly: true });
}

/** The layers, bottom first, from the topmost one that hides all below it. */
function visibleLayers({ layers }: ImageParts, { chain }: RootRecord): LayerRecord[] {
  const found = layers.chain(chain);
  if (found === undefined)
    throw new SkiffError('DATA_LOSS', 'a layer is missing in the store; `skiff image verify` brings it back');
  return found.slice(
    Math.max(
      0,
      found.findLastIndex((layer) => layer.opaqueRoot),
    ),
  );
}

/** Whether a root is there already; a copy is when its folder is. */
function isReady(parts: ImageParts, path: string): boolean {
  return parts.overlay ? mountsBelow(path).some((entry) => entry.target === path) : existsSync(path);
}

async function removeDirectories(parts: ImageParts, layout: RootLayout, name: string): Promise<void> {
  const { directory, merged, mapped } = layout.placed(name);
  for (const path of [merged, mapped]) unmountAll(path);
  if (!existsSync(directory)) return;
  // Gone at once for whoever asks; the bytes go later.
  const trash = join(parts.directory, 'trash', `${name}-${Date.now()}`);
  mkdirSync(join(parts.directory, 'trash'), { recursive: true, mode: 0o700 });
  renameSync(directory, trash);
  if (smallTreeUsage(trash, smallTree) === undefined) void discard(parts, trash);
  else removeHere(parts, trash);
}

/** Removes a small tree at once; a failure is told, since start-up removes it too. */
function removeHere(parts: ImageParts, path: string): void {
  try {
    using folder = openRoot(dirname(path));
    removeTreeAt(folder.fd, basename(path));
  } catch (error) {
    parts.logger.warn({ path, error: messageOf(error) }, 'cannot remove the root of a container');
  }
}
