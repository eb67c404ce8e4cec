/** Upload sessions of the distribution spec: opened, asked how far they are, given back. */
import { headerOf, unfit } from '../errors.ts';
import type { Answer } from '../http/exchange.ts';
import { discard } from '../http/send.ts';
import { askOnce, askPlace, failedAnswer, type Operation, type Place } from './operation.ts';

/** An upload that is under way. */
export interface UploadSession {
  /** Where the next request goes: registries change it from request to request. */
  location: URL;
  /** Bytes that the registry has. */
  offset: number;
  /** The least bytes that the registry wants in a piece, but for the last one. */
  leastChunk: number;
}

/** Opens a session. @throws SkiffError as the registry refuses. */
export function openSession(operation: Operation, place: Place): Promise<UploadSession> {
  const ask = {
    method: 'POST',
    target: `${place.repository}/blobs/uploads/`,
    headers: { 'content-length': '0' },
    actions: 'pull,push',
  } as const;
  return askPlace(operation, place, ask, async (answer) => {
    if (answer.status !== 202) throw await failedAnswer(operation.what, answer);
    await discard(answer.body);
    const least = Number(headerOf(answer.headers, 'oci-chunk-min-length') ?? 0);
    const leastChunk = Number.isSafeInteger(least) && least > 0 ? least : 0;
    return { done: { location: locationOf(operation, answer), offset: 0, leastChunk } };
  });
}

/** How far a session is: the session to go on with, or undefined if the registry has forgotten it. */
export async function askSession(
  operation: Operation,
  place: Place,
  session: UploadSession,
): Promise<UploadSession | undefined> {
  const ask = { method: 'GET', target: session.location, actions: 'pull,push' } as const;
  const answer = await askOnce(operation, place, ask);
  if ('error' in answer) return undefined;
  await discard(answer.body);
  return answer.status === 204 ? { ...session, ...movedTo(operation, session, answer) } : undefined;
}

/** Where a session is after an answer of it; registries that say no range have what was sent. */
export function movedTo(
  operation: Operation,
  session: UploadSession,
  answer: Answer,
  sent = 0,
): Pick<UploadSession, 'location' | 'offset'> {
  const location =
    headerOf(answer.headers, 'location') === undefined ? session.location : locationOf(operation, answer);
  const end = /^(?:bytes[= ])?0-(\d+)$/.exec(headerOf(answer.headers, 'range') ?? '')?.[1];
  // "0-0" may be one byte or, with some registries, none at all: sending one byte again is refused, so ask for none.
  const told = end === undefined ? undefined : Number(end) === 0 ? 0 : Number(end) + 1;
  return { location, offset: told ?? session.offset + sent };
}

/** Gives a session back that is not needed. */
export async function cancelSession(operation: Operation, place: Place, opened: Answer): Promise<void> {
  const target = locationOf(operation, opened);
  const answer = await askOnce(operation, place, { method: 'DELETE', target, actions: 'pull,push' });
  if (!('error' in answer)) await discard(answer.body);
}

/** The address that ends an upload. */
export function withDigest(location: URL, digest: string): URL {
  const target = new URL(location);
  target.searchParams.set('digest', digest);
  return target;
}

function locationOf({ what }: Operation, answer: Answer): URL {
  const location = headerOf(answer.headers, 'location');
  if (location === undefined || !URL.canParse(location, answer.url))
    throw unfit(what, `${answer.url.host} opened an upload without saying where (no valid Location)`);
  return new URL(location, answer.url);
}
