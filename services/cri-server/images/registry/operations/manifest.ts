/** Reads a manifest from one place and verifies it: the part that resolving and fetching share. */
import { isDigest } from '../../reference.ts';
import { digestLike } from '../digest.ts';
import { corrupt, headerOf, unavailable } from '../errors.ts';
import { readBody } from '../http/body.ts';
import type { Answer } from '../http/exchange.ts';
import type { Attempt } from '../http/retry.ts';
import { discard } from '../http/send.ts';
import { manifestTypes } from '../manifest-type.ts';
import { askPlace, failedAnswer, type Operation, type Place } from './operation.ts';

/** A manifest as a registry gave it. */
export interface GivenManifest {
  bytes: Buffer;
  digest: string;
  contentType?: string;
}

/** What a request for manifests says of itself. */
const manifestHeaders = { accept: [...manifestTypes, '*/*;q=0.1'].join(', ') };

/** What is known of the manifest that is asked for. */
export interface Expected {
  digest?: string;
  /** Bytes. */
  size?: number;
}

/**
 * Gets a manifest by tag or digest.
 *
 * @throws SkiffError DATA_LOSS if it is too large, or has another digest or size than expected or than the
 *   registry itself says.
 */
export async function getManifest(
  operation: Operation,
  place: Place,
  name: string,
  expected: Expected,
): Promise<GivenManifest> {
  const ask = {
    method: 'GET',
    target: `${place.repository}/manifests/${name}`,
    headers: manifestHeaders,
    actions: 'pull',
  } as const;
  return askPlace(operation, place, ask, (answer) => takeManifest(operation, answer, expected));
}

async function takeManifest(
  { what, deps, options }: Operation,
  answer: Answer,
  expected: Expected,
): Promise<Attempt<GivenManifest>> {
  if (answer.status !== 200) throw await failedAnswer(what, answer);
  const { maxManifestBytes, stallMs, slowMs } = deps.limits;
  const limit = Math.min(maxManifestBytes, expected.size ?? maxManifestBytes);
  const body = await readBody(answer.body, limit, Math.max(stallMs, slowMs));
  const from = answer.url.host;
  if (body.kind === 'broken') return { retry: unavailable(what, `${from} ${body.why}`, body.cause) };
  if (body.kind === 'too-large') throw tooLarge(what, from, limit, expected);
  const { bytes } = body;
  options.onProgress?.(bytes.length);
  if (expected.size !== undefined && bytes.length !== expected.size)
    throw corrupt(what, `${from} sent a manifest of ${bytes.length} bytes instead of ${expected.size}`);
  const digest = verifiedDigest(
    what,
    from,
    bytes,
    expected.digest,
    headerOf(answer.headers, 'docker-content-digest'),
  );
  return { done: { bytes, digest, contentType: headerOf(answer.headers, 'content-type') } };
}

function tooLarge(what: string, from: string, limit: number, expected: Expected) {
  const why =
    expected.size === limit ? `of ${limit} bytes` : `than ${limit} bytes, the most that is accepted`;
  return corrupt(
    what,
    `${from} sent a ${expected.size === limit ? 'larger manifest than that' : 'larger manifest'} ${why}`,
  );
}

function verifiedDigest(
  what: string,
  from: string,
  bytes: Buffer,
  expected: string | undefined,
  header: string | undefined,
): string {
  const claimed = header !== undefined && isDigest(header) ? header : undefined;
  const wanted = expected ?? claimed ?? 'sha256:';
  const digest = digestLike(wanted, bytes);
  if (wanted !== 'sha256:' && digest !== wanted)
    throw corrupt(what, `${from} sent a manifest with digest ${digest} instead of ${wanted}`);
  return digest;
}

/** A manifest's digest and size as HEAD tells them; undefined where the place does not tell. */
export async function headManifest(
  operation: Operation,
  place: Place,
  name: string,
): Promise<{ digest: string } | undefined> {
  const ask = {
    method: 'HEAD',
    target: `${place.repository}/manifests/${name}`,
    headers: manifestHeaders,
    actions: 'pull',
  } as const;
  return askPlace({ ...operation }, { ...place, attempts: 1 }, ask, async (answer) => {
    await discard(answer.body);
    const digest = headerOf(answer.headers, 'docker-content-digest');
    const told = answer.status === 200 && digest !== undefined && isDigest(digest);
    return { done: told ? { digest } : undefined };
  }).catch(() => undefined);
}
