/** The identity of a pod for a credential provider: a token of its service account, and annotations of that account. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { KubeletApi } from '../../ports.ts';
import type { ProviderConfig } from './config.ts';
import type { ProviderRequest } from './run-provider.ts';

/** An identity. */
export interface AskedAccount {
  /** Tells answers for different identities apart. */
  cacheKey: string;
  /** Makes what goes into the request; its token is good for `lifeMs`. */
  request(): Promise<AccountRequest>;
}

/** What a request says of the pod. */
export interface AccountRequest {
  fields: Pick<ProviderRequest, 'serviceAccountToken' | 'serviceAccountAnnotations'>;
  lifeMs: number;
}

/** Finds it. */
export interface AccountAsker {
  /**
   * What a provider is to be told of the pod; 'none' if it is not to be asked, because it needs an account and the pod
   * has none.
   *
   * @throws SkiffError if the account cannot be had or lacks what is required; `request` if there is no token.
   */
  forProvider(provider: ProviderConfig, pod: Pod): Promise<AskedAccount | 'none'>;
}

interface ServiceAccount {
  metadata: { uid?: string; annotations?: Record<string, string> };
}

/**
 * @param api undefined without an API server: then no pod has an account.
 * @param now milliseconds since the epoch.
 */
export function createAccountAsker(
  api: Pick<KubeletApi, 'request' | 'createToken'> | undefined,
  now: () => number,
): AccountAsker {
  return {
    async forProvider({ tokenAttributes: wanted, name: provider }, pod) {
      const fields = { fields: {}, lifeMs: Number.POSITIVE_INFINITY };
      const nothing: AskedAccount = { cacheKey: '', request: async () => fields };
      if (wanted === undefined) return nothing;
      const account = pod.spec.serviceAccountName ?? '';
      if (api === undefined || account === '') return wanted.requireServiceAccount ? 'none' : nothing;
      const namespace = pod.metadata.namespace ?? 'default';
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}`;
      const { metadata } = await api.request<ServiceAccount>({ method: 'GET', path, timeoutMs: 10_000 });
      const all = metadata.annotations ?? {};
      const missing = wanted.requiredServiceAccountAnnotationKeys.filter((key) => all[key] === undefined);
      if (missing.length > 0)
        throw new SkiffError(
          'FAILED_PRECONDITION',
          `service account ${namespace}/${account} lacks annotations that credential provider "${provider}" requires: ${missing.join(', ')}`,
        );
      const keys = [
        ...wanted.requiredServiceAccountAnnotationKeys,
        ...wanted.optionalServiceAccountAnnotationKeys,
      ];
      const annotations = Object.fromEntries(
        keys.flatMap((key) => (all[key] === undefined ? [] : [[key, all[key]]])),
      );
      const own = { api, pod, namespace, account, audience: wanted.serviceAccountTokenAudience, now };
      const identity = [namespace, account, metadata.uid, JSON.stringify(annotations)].join('\0');
      return {
        // Tokens are bound to their pods.
        cacheKey: wanted.cacheType === 'Token' ? `${identity}\0${pod.metadata.uid}` : identity,
        request: async () => {
          const { token, lifeMs } = await newToken(own);
          return { fields: { serviceAccountToken: token, serviceAccountAnnotations: annotations }, lifeMs };
        },
      };
    },
  };
}

async function newToken(wanted: {
  api: Pick<KubeletApi, 'createToken'>;
  pod: Pod;
  namespace: string;
  account: string;
  audience: string;
  now: () => number;
}): Promise<{ token: string; lifeMs: number }> {
  const { api, pod, namespace, account, audience, now } = wanted;
  const answer = await api.createToken(namespace, account, { audiences: [audience], pod });
  return { token: answer.token, lifeMs: Date.parse(answer.expirationTimestamp) - now() };
}
