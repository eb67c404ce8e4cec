/** Lists what refers to an image: signatures, lists of contents, attestations (distribution spec, "Listing Referrers"). */
import type { Descriptor } from '#contracts/oci/image.ts';
import { corrupt, headerOf, unavailable } from '../errors.ts';
import { readBody } from '../http/body.ts';
import { discard } from '../http/send.ts';
import { askPlace, failedAnswer, type Operation, overHosts, type Place } from './operation.ts';
import { indexType, parseReferrers, readReferrersTag } from './referrers-tag.ts';

/** Referrers of one subject that are listed; nobody reads more. */
const maxReferrers = 10_000;

/**
 * Lists the referrers of the manifest with `digest`.
 *
 * @param artifactType only those of this type, if told.
 * @returns nothing too where there is no such manifest: registries do not tell the two apart.
 */
export function listReferrers(
  operation: Operation,
  digest: string,
  artifactType?: string,
): Promise<Descriptor[]> {
  return overHosts(operation, 'pull', async (place) => {
    const found =
      (await fromApi(operation, place, digest, artifactType)) ??
      (await readReferrersTag(operation, place, digest));
    // Registries may leave the choice to the client.
    return artifactType === undefined ? found : found.filter((each) => each.artifactType === artifactType);
  });
}

/** All pages of the API's answer; undefined if the registry does not have it. */
async function fromApi(
  operation: Operation,
  place: Place,
  digest: string,
  artifactType: string | undefined,
): Promise<Descriptor[] | undefined> {
  const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType })}`;
  const found: Descriptor[] = [];
  let next: string | URL | undefined = `${place.repository}/referrers/${digest}${query}`;
  while (next !== undefined) {
    const page = await readPage(operation, place, next);
    if (page === undefined) return undefined;
    found.push(...page.referrers);
    if (found.length > maxReferrers || (page.next !== undefined && page.referrers.length === 0))
      throw corrupt(operation.what, `${place.host.address} lists referrers without end`);
    next = page.next;
  }
  return found;
}

function readPage(
  operation: Operation,
  place: Place,
  target: string | URL,
): Promise<{ referrers: Descriptor[]; next?: URL } | undefined> {
  const { what, deps } = operation;
  const ask = { method: 'GET', target, headers: { accept: indexType }, actions: 'pull' } as const;
  return askPlace(operation, place, ask, async (answer) => {
    const isIndex = headerOf(answer.headers, 'content-type')?.startsWith(indexType) === true;
    // Those without the API answer 404, or pages of their own.
    if (answer.status === 404 || (answer.status === 200 && !isIndex)) {
      await discard(answer.body);
      return { done: undefined };
    }
    if (answer.status !== 200) throw await failedAnswer(what, answer);
    const { maxManifestBytes, stallMs, slowMs } = deps.limits;
    const body = await readBody(answer.body, maxManifestBytes, Math.max(stallMs, slowMs));
    if (body.kind === 'broken')
      return { retry: unavailable(what, `${answer.url.host} ${body.why}`, body.cause) };
    if (body.kind === 'too-large')
      throw corrupt(what, `${answer.url.host} sent more than ${maxManifestBytes} bytes`);
    const referrers = parseReferrers(what, body.bytes);
    const next = nextPage(headerOf(answer.headers, 'link'), answer.url);
    return { done: { referrers, ...(next === undefined ? {} : { next }) } };
  });
}

/** The address of the next page (RFC 8288); one on another host is none of this registry's. */
function nextPage(link: string | undefined, from: URL): URL | undefined {
  const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link ?? '')?.[1];
  if (target === undefined || !URL.canParse(target, from)) return undefined;
  const next = new URL(target, from);
  return next.origin === from.origin ? next : undefined;
}
