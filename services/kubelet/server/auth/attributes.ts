/** What a request to the kubelet means to the API server's authorizer: a verb on a subresource of this node. */

/** Attributes of a SubjectAccessReview (authorization.k8s.io/v1 ResourceAttributes). */
export interface AccessAttributes {
  verb: string;
  subresource: string;
}

const verbs: Record<string, string> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Paths with a subresource of their own that has always been there. */
const coarse: readonly (readonly [string, string])[] = [
  ['/stats', 'stats'],
  ['/metrics', 'metrics'],
  ['/logs', 'log'],
  ['/checkpoint', 'checkpoint'],
  ['/statusz', 'statusz'],
  ['/flagz', 'configz'],
];

/** Paths that got one with KubeletFineGrainedAuthz (KEP-2862); `nodes/proxy` still opens them. */
const fine: readonly (readonly [string, string])[] = [
  ['/pods', 'pods'],
  ['/runningPods', 'pods'],
  ['/runningpods', 'pods'],
  ['/healthz', 'healthz'],
  ['/configz', 'configz'],
];

/** The attributes to ask for, in order; one that is allowed suffices. */
export function accessAttributes(method: string, path: string): AccessAttributes[] {
  const verb = verbs[method] ?? method.toLowerCase();
  const under = (prefix: string) => path === prefix || path.startsWith(`${prefix}/`);
  const own = coarse.find(([prefix]) => under(prefix));
  if (own !== undefined) return [{ verb, subresource: own[1] }];
  const narrow = fine.find(([prefix]) => under(prefix));
  const proxy = { verb, subresource: 'proxy' };
  return narrow === undefined ? [proxy] : [{ verb, subresource: narrow[1] }, proxy];
}
