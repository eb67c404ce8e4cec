/** Which events are told, and as how many: the figures are client-go's. */

/** What an event is about. */
export interface EventObject {
  kind: 'Pod' | 'Node';
  namespace?: string;
  name: string;
  uid?: string;
  /** `spec.containers{name}`, where it is about one container. */
  fieldPath?: string;
}

export interface RawEvent {
  object: EventObject;
  type: string;
  reason: string;
  message: string;
}

/** An event to tell. */
export interface Correlated {
  /** The event object's name. */
  name: string;
  message: string;
  count: number;
  first: number;
  last: number;
}

/** Similar events (all but the message alike) within this time are counted together. */
const similarWindowMs = 600_000;
/** More than so many different messages become one event. */
const maxSimilar = 10;
/** An object may send so many events at once, and one more every five minutes. */
const burst = 25;
const refillMs = 300_000;
/** Objects and events that are remembered. */
const maxRemembered = 4096;

interface Similar {
  messages: Set<string>;
  at: number;
}
interface Bucket {
  tokens: number;
  at: number;
}

/** Correlates events; returns undefined for those that are not told. */
export interface Correlator {
  correlate(event: RawEvent): Correlated | undefined;
}

export function createCorrelator(now: () => number): Correlator {
  const similar = new Map<string, Similar>();
  const told = new Map<string, Correlated>();
  const buckets = new Map<string, Bucket>();
  let serial = 0;
  return {
    correlate(event) {
      const at = now();
      const group = groupOf(event);
      const entry = recent(similar.get(group), at);
      entry.messages.add(event.message);
      entry.at = at;
      remember(similar, group, entry);
      const crowded = entry.messages.size >= maxSimilar;
      const message = crowded ? `(combined from similar events): ${event.message}` : event.message;
      const key = crowded ? group : `${group}\0${event.message}`;
      if (!takeToken(buckets, `${event.object.kind} ${event.object.uid}`, at)) return undefined;
      const before = told.get(key);
      serial += 1;
      const next: Correlated = {
        name: before?.name ?? `${event.object.name}.${(at * 4096 + (serial % 4096)).toString(16)}`,
        message,
        count: (before?.count ?? 0) + 1,
        first: before?.first ?? at,
        last: at,
      };
      remember(told, key, next);
      return next;
    },
  };
}

function groupOf({ object, type, reason }: RawEvent): string {
  const { kind, namespace, name, uid, fieldPath } = object;
  return [kind, namespace, name, uid, fieldPath, type, reason].join('\0');
}

function recent(entry: Similar | undefined, at: number): Similar {
  return entry === undefined || at - entry.at > similarWindowMs ? { messages: new Set(), at } : entry;
}

/** Keeps a map to its limit: the entry that was touched longest ago goes. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxRemembered) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}

function takeToken(buckets: Map<string, Bucket>, key: string, at: number): boolean {
  const bucket = buckets.get(key) ?? { tokens: burst, at };
  const tokens = Math.min(burst, bucket.tokens + Math.max(0, at - bucket.at) / refillMs);
  remember(buckets, key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at });
  return tokens >= 1;
}
