/**
 * The registry client; `types.ts` says what it offers. A call goes down like this:
 *
 * - `operations/`: one file for each verb. It finds the hosts (`hosts/`, from hosts.toml, live) and asks one
 *   after another; failures that may pass are tried again (`http/retry.ts`).
 * - `http/exchange.ts`: one question to one host: https or http, challenges answered (`auth/`).
 * - `http/send.ts`: one request with its redirects, over a pool of connections (`http/dispatchers.ts`).
 * - `blob/`: the body of a blob as a stream that survives broken transfers.
 */
import { systemClock } from '#foundation/base/time.ts';
import { formatReference, formatRepository } from '../reference.ts';
import { createAuthorizer } from './auth/authorizer.ts';
import { createMirrorRests } from './hosts/rests.ts';
import { createDispatchers } from './http/dispatchers.ts';
import { createExchange } from './http/exchange.ts';
import { createSender } from './http/send.ts';
import { defaultLimits } from './limits.ts';
import { fetchManifest } from './operations/fetch-manifest.ts';
import { hasBlob } from './operations/has-blob.ts';
import { openBlob } from './operations/open-blob.ts';
import type { OperationDeps } from './operations/operation.ts';
import { pushBlob } from './operations/push-blob.ts';
import { pushManifest } from './operations/push-manifest.ts';
import { listReferrers } from './operations/referrers.ts';
import { resolve } from './operations/resolve.ts';
import type { Limits, RegistryClient, RegistryClientDeps } from './types.ts';

export { registryUnavailable } from './errors.ts';
export type * from './types.ts';

/** Makes a client. It opens connections when they are needed and reads its files at every call. */
export function createRegistryClient(config: RegistryClientDeps = {}): RegistryClient {
  const { certsDirs = [], dockerConfigs = [], proxy = {}, clock = systemClock, userAgent = 'skiff' } = config;
  const { namespaceConfigs } = config;
  const limits: Limits = { ...defaultLimits, ...config.limits };
  const dispatchers = createDispatchers({ proxy, limits });
  const sender = createSender({ dispatchers, limits, userAgent });
  const retry = { clock, limits, attempts: limits.attempts, answerMs: limits.headersMs };
  const exchange = createExchange({ sender, authorizer: createAuthorizer({ clock }), retry });
  const rests = createMirrorRests({ clock });
  const deps: OperationDeps = { exchange, clock, limits, certsDirs, dockerConfigs, namespaceConfigs, rests };
  return {
    resolve: (reference, options = {}) =>
      resolve({ deps, reference, options, what: `pull ${formatReference(reference)}` }),
    fetchManifest: (reference, descriptor, options = {}) => {
      const what = `pull manifest ${descriptor.digest} of ${formatRepository(reference)}`;
      return fetchManifest({ deps, reference, options, what }, descriptor);
    },
    openBlob: (reference, descriptor, options = {}) => {
      const what = `pull blob ${descriptor.digest} of ${formatRepository(reference)}`;
      return openBlob({ deps, reference, options, what }, descriptor);
    },
    hasBlob: (reference, descriptor, options = {}) => {
      const what = `look for blob ${descriptor.digest} in ${formatRepository(reference)}`;
      return hasBlob({ deps, reference, options, what }, descriptor);
    },
    pushBlob: (reference, descriptor, open, options = {}) => {
      const what = `push blob ${descriptor.digest} to ${formatRepository(reference)}`;
      return pushBlob({ deps, reference, options, what }, descriptor, open);
    },
    pushManifest: (reference, mediaType, bytes, options = {}) =>
      pushManifest(
        { deps, reference, options, what: `push ${formatReference(reference)}` },
        mediaType,
        bytes,
      ),
    listReferrers: (reference, digest, options = {}) => {
      const what = `look for referrers of ${digest} in ${formatRepository(reference)}`;
      return listReferrers({ deps, reference, options, what }, digest, options.artifactType);
    },
    prepare: () => dispatchers.prepare(),
    close: () => dispatchers.close(),
  };
}
