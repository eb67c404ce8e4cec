/**
 * GET of a collection with `watch=true`: a stream of changes, one JSON object a line.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */

import { apiVersionOf } from '#contracts/kubernetes/meta.ts';
import { encodeEvent, protobufType } from '#contracts/kubernetes/protobuf/envelope.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { wantsProtobuf } from '../http/accept.ts';
import { isTrue } from '../http/request.ts';
import { asProtobuf } from '../http/respond.ts';
import { badRequest, expired, tooLargeRevision } from '../http/status.ts';
import type { Change, Stored } from '../storage/history.ts';
import type { Call } from './deps.ts';
import { parseRevision } from './list.ts';
import { presenter } from './present.ts';
import { type Selection, selectionOf } from './selection.ts';

/** Seconds a watch lasts unless the client says: 30 to 60 minutes, so that not all end together. */
const minTimeoutSeconds = 1800;
/** Milliseconds between bookmarks. */
const bookmarkMs = 60_000;
/** Bytes that may wait for a slow client before it is cut off. */
const maxWaiting = 16 * 1024 * 1024;

/** Serves a watch until the client leaves or the time is over. */
export function watch(call: Call): void {
  const { request, type, deps } = call;
  const selection = selectionOf(request, type);
  const start = startOf(call, selection);
  const { response } = request;
  const present = presenter(call);
  const protobuf = wantsProtobuf(request.raw);
  const eventBytes = protobuf ? protobufEvent : eventLine;
  const media = protobuf ? `${protobufType};stream=watch` : 'application/json';
  response.writeHead(200, { 'content-type': media, 'cache-control': 'no-cache, private' });
  response.flushHeaders();
  let initialBytes = 0;
  const write = (line: Buffer) => {
    response.write(line);
    // What there is already comes all at once, however fast the client reads.
    if (response.writableLength > maxWaiting + initialBytes) response.destroy();
  };
  const send = (kind: string, body: string) => write(eventBytes(kind, body));
  const pass = (change: Change) => {
    // A list may hold what was not yet on disk, and so was not yet published.
    if (change.revision <= start.seen) return;
    const kind = eventFor(change, selection);
    if (kind === undefined) return;
    const shared = present.plain && !protobuf;
    const line = (shared && change.lines.get(kind)) || eventBytes(kind, present.one(change.current));
    if (shared) change.lines.set(kind, line);
    write(line);
  };
  for (const stored of start.initial) {
    const line = eventBytes('ADDED', present.one(stored));
    initialBytes += line.length;
    response.write(line);
  }
  if (start.bookmark) send('BOOKMARK', present.bookmark(bookmark(call, start.revision, true)));
  for (const change of start.missed) pass(change);
  const stops = [deps.store.history.subscribe(type.resource, pass)];
  stops.push(
    deps.store.history.onReset(() =>
      response.end(eventBytes('ERROR', JSON.stringify(expired('the history was lost').status))),
    ),
  );
  if (isTrue(request.query, 'allowWatchBookmarks')) {
    const timer = setInterval(
      () => send('BOOKMARK', present.bookmark(bookmark(call, deps.store.revision(), false))),
      bookmarkMs,
    );
    stops.push(() => clearInterval(timer));
  }
  const timer = setTimeout(() => response.end(), timeoutMs(request.query));
  const end = () => {
    clearTimeout(timer);
    for (const stop of stops) stop();
    response.end();
  };
  response.once('close', end);
  request.signal.addEventListener('abort', end, { once: true });
}

/** One event as it is sent. */
function eventLine(kind: string, body: string): Buffer {
  return Buffer.from(`{"type":"${kind}","object":${body}}\n`);
}

/** The same as protobuf. */
function protobufEvent(kind: string, body: string): Buffer {
  return encodeEvent(kind, asProtobuf(body) ?? Buffer.alloc(0));
}

interface Start {
  /** The revision up to which the client has seen everything. */
  seen: number;
  /** Objects that the client has not seen. */
  initial: readonly Stored[];
  missed: readonly Change[];
  /** Whether the end of the initial objects is to be marked. */
  bookmark: boolean;
  revision: number;
}

function startOf({ request, type, deps }: Call, selection: Selection): Start {
  const { store } = deps;
  const text = request.query.get('resourceVersion') ?? '';
  const initialEvents = isTrue(request.query, 'sendInitialEvents');
  if (request.query.has('sendInitialEvents') && request.query.get('resourceVersionMatch') !== 'NotOlderThan')
    throw badRequest('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  const revision = store.revision();
  const asked = text === '' || text === '0' ? 0 : parseRevision(text);
  if (asked > revision) throw tooLargeRevision(asked, revision);
  if (initialEvents || (asked === 0 && !request.query.has('sendInitialEvents'))) {
    const all = store.list(type.resource, selection.namespace);
    return {
      initial: all.filter(({ object }) => selection.matches(object)),
      missed: [],
      seen: revision,
      bookmark: initialEvents && isTrue(request.query, 'allowWatchBookmarks'),
      revision,
    };
  }
  const missed = asked === 0 ? [] : store.history.since(type.resource, asked);
  if (missed === undefined) throw expired(`too old resource version: ${asked} (${revision})`);
  return { initial: [], missed, seen: asked === 0 ? revision : asked, bookmark: false, revision };
}

/** A change as a selection sees it: an object that enters is added, one that leaves is deleted. */
function eventFor({ type, current, previous }: Change, selection: Selection): Change['type'] | undefined {
  const before = previous !== undefined && selection.matches(previous.object);
  if (type === 'DELETED') return before || selection.matches(current.object) ? 'DELETED' : undefined;
  const now = selection.matches(current.object);
  if (now) return before ? 'MODIFIED' : 'ADDED';
  return before ? 'DELETED' : undefined;
}

function bookmark({ type }: Call, revision: number, initialEnd: boolean): KubeObject {
  const annotations = initialEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {};
  const metadata = { resourceVersion: String(revision), creationTimestamp: null, ...annotations };
  return { kind: type.kind.kind, apiVersion: apiVersionOf(type.kind), metadata } as unknown as KubeObject;
}

function timeoutMs(query: URLSearchParams): number {
  const asked = Number(query.get('timeoutSeconds') ?? 0);
  const seconds = asked > 0 ? asked : minTimeoutSeconds * (1 + Math.random());
  return Math.min(seconds * 1000, 2 ** 31 - 1);
}
