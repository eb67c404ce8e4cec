/** Decides who may do what. What no rule allows is denied. */
import { StatusError } from '../http/status.ts';
import type { Store } from '../storage/store.ts';
import type { Attributes } from './attributes.ts';
import { nodeMay, nodeOf } from './node-rules.ts';

/** The group of those who may see everything but secrets, and change nothing. */
export const readers = 'skiff:readers';

/** A decision. */
export interface Decision {
  allowed: boolean;
  reason: string;
}

/** Makes decisions. */
export type Authorizer = (asked: Attributes) => Decision;

/** Paths that say nothing about the node's work and are open to all who can connect. */
const openPaths = new Set(['/healthz', '/livez', '/readyz', '/version', '/version/']);
/** Resources that everybody with a name may ask about themselves. */
const selfReviews = new Set([
  'selfsubjectaccessreviews.authorization.k8s.io',
  'selfsubjectrulesreviews.authorization.k8s.io',
  'selfsubjectreviews.authentication.k8s.io',
]);

/** Makes the authorizer. */
export function createAuthorizer(store: Pick<Store, 'get' | 'list'>): Authorizer {
  return (asked) => {
    const { user } = asked;
    if (user.groups.includes('system:masters')) return yes('system:masters may do everything');
    if (asked.path !== undefined && openPaths.has(asked.path)) return yes('open to all');
    if (!user.groups.includes('system:authenticated')) return no('');
    if (asked.resource === undefined)
      return isDiscovery(asked) ? yes('discovery is open to all users') : no('');
    if (asked.verb === 'create' && selfReviews.has(`${asked.resource}.${asked.group}`))
      return yes('all users may review themselves');
    const node = nodeOf(user);
    if (node !== undefined) {
      const may = nodeMay(asked, node, store);
      return may === true ? yes('node rules') : no(may);
    }
    if (user.groups.includes(readers))
      return readerMay(asked) ? yes('readers') : no('readers only see, and see no secrets');
    return no('');
  };
}

function yes(reason: string): Decision {
  return { allowed: true, reason };
}

function no(reason: string): Decision {
  return { allowed: false, reason };
}

function isDiscovery({ verb, path = '' }: Attributes): boolean {
  const places = ['/api', '/apis', '/openapi', '/healthz', '/livez', '/readyz', '/version', '/.well-known'];
  return (
    (verb === 'get' || verb === 'head') &&
    (path === '/' || places.some((place) => path === place || path.startsWith(`${place}/`)))
  );
}

function readerMay({ verb, resource, subresource }: Attributes): boolean {
  if (!['get', 'list', 'watch'].includes(verb) || resource === 'secrets') return false;
  return subresource === undefined || ['log', 'status', 'scale'].includes(subresource);
}

/** Throws 403 with the original's words unless the decision is yes. */
export function requireAllowed(authorizer: Authorizer, asked: Attributes): void {
  const { allowed, reason } = authorizer(asked);
  if (allowed) return;
  if (asked.user.groups.includes('system:unauthenticated'))
    throw new StatusError(401, 'Unauthorized', 'Unauthorized');
  const tail = reason === '' ? '' : `: ${reason}`;
  if (asked.resource === undefined)
    throw new StatusError(
      403,
      'Forbidden',
      `forbidden: User "${asked.user.name}" cannot ${asked.verb} path "${asked.path}"${tail}`,
      {},
    );
  const resource =
    asked.subresource === undefined ? asked.resource : `${asked.resource}/${asked.subresource}`;
  const scope =
    asked.namespace === undefined ? 'at the cluster scope' : `in the namespace "${asked.namespace}"`;
  const qualified = asked.group === '' ? asked.resource : `${asked.resource}.${asked.group}`;
  const named = asked.name === undefined ? qualified : `${qualified} "${asked.name}"`;
  throw new StatusError(
    403,
    'Forbidden',
    `${named} is forbidden: User "${asked.user.name}" cannot ${asked.verb} resource "${resource}" in API group "${asked.group}" ${scope}${tail}`,
    { name: asked.name, kind: asked.resource, ...(asked.group ? { group: asked.group } : {}) },
  );
}
