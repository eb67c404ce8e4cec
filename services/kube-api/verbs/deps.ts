/** What the verbs work with. */
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { ApiRequest } from '../http/request.ts';
import type { Registry } from '../kinds/registry.ts';
import type { ResourceType, Surroundings } from '../kinds/strategy.ts';
import type { Store } from '../storage/store.ts';

/** The API's parts, as verbs and controllers see them. */
export interface ApiDeps {
  store: Store;
  registry: Registry;
  clock: Clock;
  logger: Logger;
}

/** A call on one resource. */
export interface Call {
  request: ApiRequest;
  type: ResourceType;
  deps: ApiDeps;
  /** Whether the object comes from server-side apply, whose manager then owns what it names. */
  apply?: boolean;
}

/** What preparing an object may look at. */
export function surroundings({ request, deps }: Call): Surroundings {
  return {
    store: deps.store,
    user: request.user,
    now: deps.clock.now(),
    warn: (text) => request.warnings.push(text),
  };
}

/** Whether nothing is to be stored. @throws 400 for values other than All. */
export function isDryRun({ query }: Pick<ApiRequest, 'query'>): boolean {
  return query.getAll('dryRun').includes('All');
}

/** Who owns the fields that this call sets. */
export function fieldManager({ query, raw }: ApiRequest): string {
  const named = query.get('fieldManager');
  if (named !== null && named !== '') return named.slice(0, 128);
  return (raw.headers['user-agent'] ?? 'unknown').split('/')[0]?.slice(0, 128) || 'unknown';
}
