/** What a call wants to do, as authorization looks at it. */
import { isTrue, type Target, type User } from '../http/request.ts';

/** One wish. */
export interface Attributes {
  user: User;
  /** get, list, watch, create, update, patch, delete, deletecollection; the HTTP method in small for other paths. */
  verb: string;
  /** Undefined for paths that are not resources. */
  resource?: string;
  group?: string;
  subresource?: string;
  namespace?: string;
  name?: string;
  /** For paths that are not resources. */
  path?: string;
  /** The text of the field selector: nodes may list only their own. */
  fieldSelector?: string;
}

const verbs: Record<string, [one: string, all: string]> = {
  GET: ['get', 'list'],
  HEAD: ['get', 'list'],
  POST: ['create', 'create'],
  PUT: ['update', 'update'],
  PATCH: ['patch', 'patch'],
  DELETE: ['delete', 'deletecollection'],
};

/** The attributes of a call. */
export function attributesOf(
  user: User,
  method: string,
  path: string,
  target: Target,
  query: URLSearchParams,
): Attributes {
  if (target.resource === undefined) return { user, verb: method.toLowerCase(), path };
  const [one, all] = verbs[method] ?? [method.toLowerCase(), method.toLowerCase()];
  const watching = method === 'GET' && isTrue(query, 'watch');
  return {
    user,
    verb: watching ? 'watch' : target.name === undefined ? all : one,
    resource: target.resource,
    group: target.group,
    subresource: target.subresource,
    namespace: target.namespace,
    name: target.name,
    fieldSelector: query.get('fieldSelector') ?? undefined,
  };
}
