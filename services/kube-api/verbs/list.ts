/** GET of a collection, whole or in pages. Pages come from one moment: the first page's. */
import { randomUUID } from 'node:crypto';
import { badRequest, expired, tooLargeRevision } from '../http/status.ts';
import type { Stored } from '../storage/history.ts';
import type { Call } from './deps.ts';
import { sendList } from './present.ts';
import { selectionOf } from './selection.ts';

/** Lists that are being paged through; the oldest is forgotten. */
const maxOpenLists = 200;
/** Milliseconds until a list that is paged through is forgotten. */
const openListMs = 5 * 60_000;

interface OpenList {
  revision: number;
  rest: readonly Stored[];
  scope: string;
  since: number;
}

/** Serves lists; it remembers those that are being paged through. */
export function createLister(): (call: Call) => void {
  const open = new Map<string, OpenList>();
  return (call) => list(call, open);
}

function list(call: Call, open: Map<string, OpenList>): void {
  const { request, type, deps } = call;
  const { query } = request;
  const limit = pageLength(query.get('limit'));
  const token = query.get('continue') ?? '';
  const scope = [
    type.resource,
    request.target.namespace,
    query.get('labelSelector'),
    query.get('fieldSelector'),
  ].join('\n');
  let found: { revision: number; rest: readonly Stored[] };
  if (token === '') {
    checkRevision(query, deps.store.revision());
    const selection = selectionOf(request, type);
    const all = deps.store.list(type.resource, selection.namespace);
    found = { revision: deps.store.revision(), rest: all.filter(({ object }) => selection.matches(object)) };
  } else {
    found = resume(token, scope, open, deps.clock.now());
  }
  if (limit === 0 || found.rest.length <= limit) {
    sendList(call, found.rest, { revision: found.revision });
    return;
  }
  const next = remember(open, { ...found, rest: found.rest.slice(limit), scope, since: deps.clock.now() });
  const page = { revision: found.revision, next, remaining: found.rest.length - limit };
  sendList(call, found.rest.slice(0, limit), page);
}

function pageLength(text: string | null): number {
  if (text === null || text === '') return 0;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 0)
    throw badRequest(`limit must be a number, not ${JSON.stringify(text)}`);
  return limit;
}

function remember(open: Map<string, OpenList>, list: OpenList): string {
  const token = Buffer.from(randomUUID()).toString('base64url');
  open.set(token, list);
  for (const [old, { since }] of open) {
    if (open.size <= maxOpenLists && list.since - since < openListMs) break;
    open.delete(old);
  }
  return token;
}

function resume(token: string, scope: string, open: Map<string, OpenList>, now: number): OpenList {
  if (!/^[\w-]+$/.test(token)) throw badRequest('continue key is not valid: illegal base64 data');
  const found = open.get(token);
  if (found === undefined || now - found.since > openListMs)
    throw expired(
      'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
    );
  if (found.scope !== scope)
    throw badRequest('the continue parameter belongs to a list with another path or selector');
  return found;
}

/** Checks what a read asks of the resourceVersion. @throws 400, 410 or 504. */
export function checkRevision(query: URLSearchParams, current: number): void {
  const text = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  if (match !== '' && match !== 'Exact' && match !== 'NotOlderThan')
    throw badRequest(
      `resourceVersionMatch ${JSON.stringify(match)} is not supported: use Exact or NotOlderThan`,
    );
  if (match !== '' && text === '')
    throw badRequest('resourceVersionMatch is forbidden unless resourceVersion is provided');
  if (text === '' || text === '0') return;
  const asked = parseRevision(text);
  if (asked > current) throw tooLargeRevision(asked, current);
  if (match === 'Exact' && asked < current)
    throw expired(`The resourceVersion for the provided list is too old: ${asked} (${current})`);
}

/** Reads a resourceVersion. @throws 400 if it is no number. */
export function parseRevision(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`invalid resource version ${JSON.stringify(text)}`);
  return Number(text);
}
