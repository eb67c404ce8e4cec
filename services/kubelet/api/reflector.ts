/**
 * Keeps a copy of a collection of an API server: a list, then a watch from its version; the watch goes on after
 * every break, with bookmarks so that a relist is seldom needed, and with a growing, jittered pause.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
import type { ApiClient, Query, WatchEvent } from '#contracts/kubernetes/client/client.ts';
import type { KubeList, KubeObject } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';

/** Milliseconds of the first and the longest pause after a failure: client-go's. */
const firstPauseMs = 800;
const longestPauseMs = 30_000;
/** Seconds after which the server ends a watch, up to twice as long. */
const watchSeconds = 300;
/** Milliseconds: a watch that ended sooner counts as a failure. */
const shortWatchMs = 1000;
/** Objects in one page of a list. */
const pageSize = 500;

export interface ReflectorDeps {
  client: Pick<ApiClient, 'get' | 'watch'>;
  clock: Clock;
  logger: Logger;
  random?: () => number;
}

/** What to keep a copy of. */
export interface ReflectorRequest<T> {
  /** `/api/v1/pods`. */
  path: string;
  /** Selectors. */
  query?: Query;
  /** Called after the first list and after every change, with the whole. */
  onChange(items: ReadonlyMap<string, T>): void;
}

interface Copy<T> {
  items: Map<string, T>;
  version: string | undefined;
}

/** Runs until the signal aborts. */
export async function runReflector<T extends KubeObject>(
  deps: ReflectorDeps,
  request: ReflectorRequest<T>,
  signal: AbortSignal,
): Promise<void> {
  const copy: Copy<T> = { items: new Map(), version: undefined };
  let failures = 0;
  while (!signal.aborted) {
    try {
      if (copy.version === undefined) await list(deps, request, copy, signal);
      const opened = deps.clock.monotonic();
      const events = await follow(deps, request, copy, signal);
      // A server that ends each watch at once must not be asked in a tight loop.
      const tooShort = events === 0 && deps.clock.monotonic() - opened < shortWatchMs;
      failures = tooShort ? failures + 1 : 0;
    } catch (error) {
      if (signal.aborted) return;
      // Too old a version, or one the server does not know: begin with a list again.
      // One that the server has not reached (504) comes of a server that was restored from a backup.
      if (isSkiffError(error, 'ABORTED', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED')) copy.version = undefined;
      failures += 1;
      const fields = { path: request.path, error: messageOf(error) };
      if (failures === 1) deps.logger.warn(fields, 'Cannot watch the API');
    }
    if (failures === 0) continue;
    const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1));
    await deps.clock.sleep(pause * (1 + (deps.random ?? Math.random)()), signal).catch(() => {});
  }
}

async function list<T extends KubeObject>(
  { client }: ReflectorDeps,
  { path, query, onChange }: ReflectorRequest<T>,
  copy: Copy<T>,
  signal: AbortSignal,
): Promise<void> {
  const items = new Map<string, T>();
  let next: string | undefined;
  let version: string | undefined;
  do {
    const paging = { limit: pageSize, continue: next };
    const page: KubeList<T> = await client.get(path, { query: { ...query, ...paging }, signal });
    for (const item of page.items) items.set(keyOf(item), item);
    next = page.metadata._continue || (page.metadata as { continue?: string }).continue || undefined;
    version = page.metadata.resourceVersion;
  } while (next !== undefined);
  copy.items = items;
  copy.version = version ?? '0';
  onChange(items);
}

/** @returns how many events came. */
async function follow<T extends KubeObject>(
  { client, random = Math.random }: ReflectorDeps,
  { path, query, onChange }: ReflectorRequest<T>,
  copy: Copy<T>,
  signal: AbortSignal,
): Promise<number> {
  const timeoutSeconds = Math.round(watchSeconds * (1 + random()));
  const from = { resourceVersion: copy.version, allowWatchBookmarks: true, timeoutSeconds };
  const events: AsyncIterable<WatchEvent<T>> = client.watch(path, { ...query, ...from }, signal);
  let count = 0;
  for await (const { type, object } of events) {
    count += 1;
    copy.version = object.metadata.resourceVersion ?? copy.version;
    if (type === 'BOOKMARK') continue;
    if (type === 'DELETED') copy.items.delete(keyOf(object));
    else copy.items.set(keyOf(object), object);
    onChange(copy.items);
  }
  return count;
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
