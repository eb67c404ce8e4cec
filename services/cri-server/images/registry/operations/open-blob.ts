/** Opens a blob for reading: from a mirror, the registry, or the addresses that a foreign layer names. */
import type { Readable } from 'node:stream';
import type { Descriptor } from '#contracts/oci/image.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { anonymous } from '../auth/credentials.ts';
import { type BlobSource, sourceOf } from '../blob/source.ts';
import { blobStream } from '../blob/stream.ts';
import { unavailable } from '../errors.ts';
import { allCapabilities, defaultTls } from '../hosts/host.ts';
import type { Answer } from '../http/exchange.ts';
import type { Attempt } from '../http/retry.ts';
import { discard } from '../http/send.ts';
import type { BlobOptions } from '../types.ts';
import { askPlace, failedAnswer, type Operation, overHosts, type Place } from './operation.ts';

/**
 * Opens a blob; the first connection stands when this returns, so that a blob that is not there is told here.
 *
 * @throws SkiffError INVALID_ARGUMENT for an offset beyond the blob's end.
 */
export async function openBlob(
  operation: Operation & { options: BlobOptions },
  descriptor: Descriptor,
): Promise<Readable> {
  const { what, deps, options } = operation;
  const { size } = descriptor;
  const offset = options.offset ?? 0;
  if (!Number.isSafeInteger(size) || size < 0 || !Number.isSafeInteger(offset) || offset < 0 || offset > size)
    throw new SkiffError('INVALID_ARGUMENT', `Cannot ${what}: no byte ${offset} in a blob of ${size} bytes`);
  const open = (from: number) => openAt(operation, descriptor, from);
  const { limits, clock } = deps;
  const { signal, onProgress } = options;
  const first = offset === size ? undefined : await open(offset);
  return blobStream({ what, size, open, limits, clock, signal, onProgress }, offset, first);
}

async function openAt(operation: Operation, descriptor: Descriptor, offset: number): Promise<BlobSource> {
  try {
    return await overHosts(operation, 'pull', (place) => openFrom(operation, place, descriptor, offset));
  } catch (error) {
    const urls = foreignUrls(descriptor);
    if (urls.length === 0 || isSkiffError(error, 'CANCELLED', 'DEADLINE_EXCEEDED')) throw error;
    return openForeign(operation, descriptor, offset, urls);
  }
}

/** Asks one place, with a range if the start is here already; without one if it answers ranges wrongly. */
async function openFrom(
  operation: Operation,
  place: Place,
  descriptor: Descriptor,
  offset: number,
  url?: URL,
): Promise<BlobSource> {
  const ranged = offset > 0 ? await askFor(operation, place, descriptor, offset, true, url) : undefined;
  const source = ranged ?? (await askFor(operation, place, descriptor, offset, false, url));
  if (source !== undefined) return source;
  throw unavailable(operation.what, `${place.host.address} answers without the range that was asked for`);
}

function askFor(
  operation: Operation,
  place: Place,
  { digest, size }: Descriptor,
  offset: number,
  ranged: boolean,
  url?: URL,
): Promise<BlobSource | undefined> {
  const { what } = operation;
  const headers: Record<string, string> = { 'accept-encoding': 'identity' };
  if (ranged) headers.range = `bytes=${offset}-`;
  const target = url ?? `${place.repository}/blobs/${digest}`;
  const ask = { method: 'GET', target, headers, actions: 'pull', allowDowngrade: true } as const;
  const use = async (answer: Answer): Promise<Attempt<BlobSource | undefined>> => {
    if (answer.status === 416 && ranged) {
      await discard(answer.body);
      return { done: undefined };
    }
    if (answer.status !== 200 && !(answer.status === 206 && ranged)) throw await failedAnswer(what, answer);
    const result = sourceOf(what, answer, { offset, size });
    return { done: result.kind === 'source' ? result.source : undefined };
  };
  return askPlace(operation, place, ask, use);
}

/**
 * The addresses of a layer that may not be distributed, by the image spec's `urls`. They come from whoever
 * made the image, so they are asked without credentials, and link-local addresses (a cloud's metadata
 * service) not at all.
 */
function foreignUrls({ urls = [], mediaType }: Descriptor): URL[] {
  if (!/\.foreign\.|\.nondistributable\./.test(mediaType)) return [];
  return urls
    .filter((text) => URL.canParse(text))
    .map((text) => new URL(text))
    .filter((url) => /^https?:$/.test(url.protocol))
    .filter(({ hostname }) => !hostname.startsWith('169.254.') && !/^\[fe[89ab]/i.test(hostname))
    .slice(0, 8);
}

async function openForeign(
  operation: Operation,
  descriptor: Descriptor,
  offset: number,
  urls: readonly URL[],
): Promise<BlobSource> {
  let failure: unknown;
  for (const url of urls) {
    try {
      return await openFrom(operation, foreignPlace(operation, url), descriptor, offset, url);
    } catch (error) {
      if (isSkiffError(error, 'CANCELLED', 'DEADLINE_EXCEEDED')) throw error;
      failure = error;
    }
  }
  throw failure;
}

function foreignPlace({ deps }: Operation, url: URL): Place {
  const host = {
    scheme: url.protocol === 'http:' ? 'http' : 'https',
    address: url.host,
    basePath: '',
    capabilities: allCapabilities,
    httpFallback: false,
    tls: defaultTls,
    headers: {},
    rewrites: [],
    mirror: false,
  } as const;
  return { host, repository: '', credentials: anonymous, attempts: deps.limits.attempts };
}
