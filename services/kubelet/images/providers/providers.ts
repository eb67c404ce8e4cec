/**
 * Credentials from programs of the node's vendor: asked for each image that they are configured for, their answers kept
 * as long as they say (KEP-2133; with tokens of the pod's service account KEP-4412).
 */
import { createHash } from 'node:crypto';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { durationMs } from '../../configuration/duration.ts';
import { type Keyring, keyFits } from '../keyring.ts';
import { registryPathOf } from '../reference.ts';
import type { ProviderConfig } from './config.ts';
import { type ProviderResponse, runProvider } from './run-provider.ts';
import type { AccountAsker, AskedAccount } from './service-account.ts';

/** What the providers need. */
export interface ProvidersDeps {
  providers: readonly ProviderConfig[];
  binaryDirectory: string;
  /** Tokens for providers that want the pod's identity. */
  accounts: AccountAsker;
  clock: Clock;
  log: Logger;
}

/** The providers. */
export interface CredentialProviders {
  /** What all providers that are configured for the image answer. Never throws: one that fails is logged. */
  keyringFor(pod: Pod, image: string): Promise<Keyring>;
}

interface Kept {
  keyring: Keyring;
  until: number;
}

/** Answers kept at most; the oldest go first. */
const mostKept = 1000;

/** Makes the providers; nothing is run before an image needs it. */
export function createCredentialProviders(deps: ProvidersDeps): CredentialProviders {
  const askers = deps.providers.map((provider) => createAsker(deps, provider));
  return {
    async keyringFor(pod, image) {
      const keyrings = await Promise.all(askers.map((ask) => ask(pod, image)));
      return keyrings.flat();
    },
  };
}

function createAsker(deps: ProvidersDeps, provider: ProviderConfig) {
  const kept = new Map<string, Kept>();
  const underWay = new Map<string, Promise<Keyring>>();
  const ask = async (pod: Pod, image: string): Promise<Keyring> => {
    const account = await deps.accounts.forProvider(provider, pod);
    if (account === 'none') return [];
    const keys = cacheKeys(image, account.cacheKey);
    for (const key of keys.values()) {
      const found = kept.get(key);
      if (found !== undefined && found.until > deps.clock.monotonic()) return found.keyring;
    }
    // Pods that start together ask once.
    const key = `${image} ${account.cacheKey}`;
    const answer = underWay.get(key) ?? run(image, account, keys).finally(() => underWay.delete(key));
    underWay.set(key, answer);
    return answer;
  };
  const run = async (
    image: string,
    account: AskedAccount,
    keys: ReadonlyMap<string, string>,
  ): Promise<Keyring> => {
    const { fields, lifeMs: tokenMs } = await account.request();
    const answer = await runProvider(provider, deps.binaryDirectory, { image, ...fields });
    const keyring = keyringOf(answer);
    const lifeMs = Math.min(durationMs(answer.cacheDuration ?? provider.defaultCacheDuration), tokenMs);
    if (lifeMs > 0) {
      const key = keys.get(answer.cacheKeyType) ?? '';
      kept.delete(key);
      kept.set(key, { keyring, until: deps.clock.monotonic() + lifeMs });
      const [oldest] = kept.keys();
      if (kept.size > mostKept && oldest !== undefined) kept.delete(oldest);
    }
    return keyring;
  };
  return async (pod: Pod, name: string): Promise<Keyring> => {
    const image = registryPathOf(name).replace(/^index\.docker\.io\//, 'docker.io/');
    if (!provider.matchImages.some((pattern) => keyFits(pattern, image))) return [];
    try {
      return await ask(pod, image);
    } catch (error) {
      deps.log.warn({ provider: provider.name, image, err: error }, 'a credential provider failed');
      return [];
    }
  };
}

/** Where an answer may be kept, by its type; the narrowest is looked up first. */
function cacheKeys(image: string, account: string): Map<string, string> {
  const digest = createHash('sha256').update(account).digest('hex');
  return new Map([
    ['Image', `image ${image} ${digest}`],
    ['Registry', `registry ${image.split('/')[0]} ${digest}`],
    ['Global', `global ${digest}`],
  ]);
}

function keyringOf({ auth }: ProviderResponse): Keyring {
  return Object.entries(auth ?? {}).map(([key, credential]) => ({
    key: key.replace(/^https?:\/\//, ''),
    credential,
  }));
}
