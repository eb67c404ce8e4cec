/** Whether somebody may do something to this node's kubelet: the API server's SubjectAccessReview, or always. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { KubeletConfiguration } from '../../configuration/defaults.ts';
import { durationMs } from '../../configuration/duration.ts';
import type { KubeletApi } from '../../ports.ts';
import { type AccessAttributes, accessAttributes } from './attributes.ts';
import type { User } from './authenticate.ts';
import { createCache } from './cache.ts';

/** Lets a request through. @throws SkiffError PERMISSION_DENIED. */
export type Authorizer = (user: User, method: string, path: string) => Promise<void>;

/** Makes the authorizer of a configuration. */
export function createAuthorizer(deps: {
  configuration: KubeletConfiguration['authorization'];
  api: Pick<KubeletApi, 'request'> | undefined;
  nodeName: string;
  clock: Clock;
}): Authorizer {
  const { mode, webhook } = deps.configuration;
  if (mode === 'AlwaysAllow') return async () => {};
  const { api, nodeName, clock } = deps;
  const cache = createCache<boolean>(clock, (allowed) =>
    durationMs(allowed ? webhook.cacheAuthorizedTTL : webhook.cacheUnauthorizedTTL),
  );
  return async (user, method, path) => {
    const wanted = accessAttributes(method, path);
    for (const attributes of api === undefined ? [] : wanted) {
      const key = JSON.stringify([user, attributes]);
      if (await cache.get(key, () => review(api, nodeName, user, attributes))) return;
    }
    const tried = wanted.map(({ subresource }) => subresource).join(' ');
    throw new SkiffError(
      'PERMISSION_DENIED',
      `Forbidden (user=${user.name}, verb=${wanted[0]?.verb}, resource=nodes, subresource(s)=[${tried}])`,
    );
  };
}

async function review(
  api: Pick<KubeletApi, 'request'> | undefined,
  name: string,
  user: User,
  { verb, subresource }: AccessAttributes,
): Promise<boolean> {
  const answer = await api?.request<{ status?: { allowed?: boolean } }>({
    method: 'POST',
    path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: {
        user: user.name,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        resourceAttributes: { verb, group: '', version: 'v1', resource: 'nodes', subresource, name },
      },
    },
    timeoutMs: 10_000,
  });
  return answer?.status?.allowed === true;
}
