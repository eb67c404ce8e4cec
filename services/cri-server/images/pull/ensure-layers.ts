/** Makes sure that every layer of an image lies unpacked in the store, whoever brings its blobs. */
import type { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Descriptor } from '#contracts/oci/image.ts';
import type { ImageParts } from '../deps.ts';
import type { LayerProgress } from '../progress.ts';
import { chainIds } from '../store/chain.ts';
import type { UnpackedLayer } from '../store/layers.ts';
import type { Lease } from '../store/leases.ts';
import type { ImageLayer } from '../store/model.ts';
import { discard, fetchLayer, type LayerRequest, take } from './fetch-layer.ts';

/** Layers that are begun, or put in place, in one turn of the event loop: each takes it a fraction of a millisecond. */
const layersPerTurn = 8;

/** The layers to have. */
export interface LayersRequest {
  layers: readonly Descriptor[];
  diffIds: readonly string[];
  lease: Lease;
  /** Opens a layer's blob from a byte on. */
  open(descriptor: Descriptor, offset: number, signal: AbortSignal): Promise<Readable>;
  onLayer(digest: string, change: Partial<LayerProgress>): void;
  /** So many bytes more lie unpacked. */
  onUnpacked(bytes: number): void;
}

/**
 * Gets all layers, in parallel, and puts them into the store one above the other.
 *
 * @returns the layers, which are not durable yet.
 */
export async function ensureLayers(
  parts: ImageParts,
  request: LayersRequest,
  signal: AbortSignal,
): Promise<ImageLayer[]> {
  const chain = chainIds(request.diffIds);
  const layers = request.layers.map((descriptor, at) => ({
    descriptor,
    diffId: request.diffIds[at] ?? '',
    chainId: chain[at] ?? '',
  }));
  for (const { descriptor, chainId } of layers) {
    request.lease.blob(descriptor.digest);
    request.lease.layer(chainId);
  }
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  // The largest first: so the two threads end at about the same time.
  const bySize = layers.toSorted((a, b) => b.descriptor.size - a.descriptor.size);
  const works = new Map<ImageLayer, Promise<UnpackedLayer | undefined>>();
  for (const [at, layer] of bySize.entries()) {
    if (at % layersPerTurn === layersPerTurn - 1) await nextTurn();
    const work = isComplete(parts, layer) ? undefined : fetchShared(parts, request, layer, stopped);
    if (work === undefined)
      request.onLayer(layer.descriptor.digest, { state: 'exists', done: layer.descriptor.size });
    else {
      work.catch((error) => stop.abort(error)); // One failed: the others are of no use.
      works.set(layer, work);
    }
  }
  try {
    for (const [at, layer] of layers.entries()) {
      const unpacked = await works.get(layer);
      if (at % layersPerTurn === layersPerTurn - 1) await nextTurn();
      parts.verified.add(`${layer.descriptor.digest} ${layer.diffId}`);
      await putInPlace(parts, request, layers.slice(0, at), layer, unpacked, stopped);
      if (works.has(layer))
        request.onLayer(layer.descriptor.digest, { state: 'done', done: layer.descriptor.size });
    }
    return layers;
  } catch (error) {
    const settled = await Promise.allSettled(works.values());
    for (const work of settled)
      if (work.status === 'fulfilled' && work.value !== undefined && take(work.value))
        await discard(parts, work.value.path);
    signal.throwIfAborted();
    throw stop.signal.aborted ? stop.signal.reason : error;
  }
}

function isComplete(parts: ImageParts, { descriptor, chainId, diffId }: ImageLayer): boolean {
  const isHere = parts.content.size(descriptor.digest) === descriptor.size;
  // A blob and a layer that are both here may still not belong together, whatever a config says.
  const belong = parts.verified.has(`${descriptor.digest} ${diffId}`);
  return isHere && belong && (parts.layers.get(chainId) ?? parts.layers.shareable(diffId)) !== undefined;
}

function fetchShared(
  parts: ImageParts,
  request: LayersRequest,
  { descriptor, chainId, diffId }: ImageLayer,
  signal: AbortSignal,
): Promise<UnpackedLayer | undefined> {
  const unpack = (parts.layers.get(chainId) ?? parts.layers.shareable(diffId)) === undefined;
  const layer: LayerRequest = {
    descriptor,
    diffId,
    unpack,
    open: (offset, openSignal) => request.open(descriptor, offset, openSignal),
    onProgress: (change) => request.onLayer(descriptor.digest, change),
  };
  const key = `${descriptor.digest} ${diffId} ${unpack}`;
  const start = async (workSignal: AbortSignal) => {
    const unpacked = await fetchLayer(parts, layer, workSignal);
    request.onUnpacked(unpacked?.result.bytes ?? 0);
    // Everybody has left meanwhile: nobody would remove it.
    if (workSignal.aborted && unpacked !== undefined && take(unpacked)) await discard(parts, unpacked.path);
    return unpacked;
  };
  return parts.layerWork.join(key, start, signal);
}

/** Makes an unpacked layer the store's, above the layers below it; or finds that the store has it already. */
async function putInPlace(
  parts: ImageParts,
  request: LayersRequest,
  below: readonly ImageLayer[],
  layer: ImageLayer,
  unpacked: UnpackedLayer | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { layers, locks } = parts;
  const { chainId, diffId } = layer;
  return locks.run(`layer ${diffId}`, async () => {
    const shareable = layers.shareable(diffId);
    if (layers.get(chainId) !== undefined || shareable !== undefined) {
      if (unpacked !== undefined && take(unpacked)) await discard(parts, unpacked.path);
      if (layers.get(chainId) === undefined && shareable !== undefined)
        layers.share(chainId, below.at(-1)?.chainId, shareable);
      return;
    }
    // Another pull that waited for the same layer may have taken the directory for a chain of its own.
    let mine = unpacked;
    while (mine === undefined || !take(mine)) mine = await fetchShared(parts, request, layer, signal);
    const ids = below.map((each) => each.chainId);
    await layers.adopt(chainId, ids, mine);
  });
}
