/**
 * Answers a registry's challenges and remembers what worked: Basic headers, and tokens until shortly before
 * they expire. Requests that need the same token at the same time wait for one.
 */
import type { Clock } from '#foundation/base/time.ts';
import { sharedWork } from '../../shared-work.ts';
import type { Challenge } from './challenge.ts';
import { basicHeader, type Credentials, credentialsKey } from './credentials.ts';
import { fetchToken, type SendTokenRequest } from './token.ts';

/** Who wants to do what where. */
export interface AuthTarget {
  /** What the caller is doing, for messages. */
  what: string;
  /** The registry's origin: `https://registry-1.docker.io`. */
  origin: string;
  /** `repository:library/nginx:pull` and its like. */
  scopes: readonly string[];
  credentials: Credentials;
}

/** Gives requests their Authorization header. */
export interface Authorizer {
  /** The header that worked before, if it is still good. */
  known(target: AuthTarget): string | undefined;
  /**
   * A header that answers the challenges; undefined if there is none to try.
   *
   * @param rejected the header that the challenged request had.
   * @throws SkiffError as the token server says; the signal's reason.
   */
  answer(
    target: AuthTarget,
    challenges: readonly Challenge[],
    rejected: string | undefined,
    send: SendTokenRequest,
    signal?: AbortSignal,
  ): Promise<string | undefined>;
}

interface Remembered {
  header: string;
  /** Milliseconds of the monotonic clock. */
  until: number;
}

/** Headers that are remembered; a node talks to few registries, but to many repositories. */
const maxRemembered = 1000;
/** Milliseconds before its end that a token counts as expired: the request has to get there. */
const expiryMarginMs = 10_000;

/** Makes an authorizer that remembers nothing yet. */
export function createAuthorizer({ clock }: { clock: Clock }): Authorizer {
  const memory = new Map<string, Remembered>();
  const pending = sharedWork<string>();
  const remember = (key: string, header: string, until: number) => {
    memory.delete(key);
    memory.set(key, { header, until });
    for (const oldest of memory.keys()) {
      if (memory.size <= maxRemembered) break;
      memory.delete(oldest);
    }
  };
  const tokenHeader = async (target: AuthTarget, challenge: Challenge, send: SendTokenRequest) => {
    const secure = target.origin.startsWith('https:');
    const scopes = mergeScopes(target.scopes, challenge);
    const { credentials, what } = target;
    const { token, expiresIn } = await fetchToken(send, what, { challenge, scopes, credentials, secure });
    const header = `Bearer ${token}`;
    remember(keyOf(target), header, clock.monotonic() + expiresIn * 1000 - expiryMarginMs);
    return header;
  };
  return {
    known(target) {
      const found = memory.get(keyOf(target));
      if (found !== undefined && found.until > clock.monotonic()) return found.header;
      return undefined;
    },
    async answer(target, challenges, rejected, send, signal) {
      const key = keyOf(target);
      const remembered = memory.get(key);
      if (remembered !== undefined && remembered.until > clock.monotonic() && remembered.header !== rejected)
        return remembered.header; // Another request got it while this one was rejected.
      memory.delete(key);
      const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
      const fixed = fixedHeader(target.credentials, challenges);
      if (fixed !== undefined && (bearer === undefined || target.credentials.kind === 'bearer')) {
        if (fixed === rejected) return undefined;
        remember(key, fixed, Number.POSITIVE_INFINITY);
        return fixed;
      }
      if (bearer === undefined || target.credentials.kind === 'bearer') return undefined;
      const work = (ended: AbortSignal) =>
        tokenHeader(target, bearer, (request, tolerated) => send(request, tolerated, ended));
      return pending.join(key, work, signal);
    },
  };
}

/** The header that needs no token server. */
function fixedHeader(credentials: Credentials, challenges: readonly Challenge[]): string | undefined {
  if (credentials.kind === 'bearer') return `Bearer ${credentials.token}`;
  if (!challenges.some(({ scheme }) => scheme === 'basic')) return undefined;
  return credentials.kind === 'password'
    ? basicHeader(credentials.username, credentials.password)
    : undefined;
}

/** What the caller needs and what the registry says is needed. */
function mergeScopes(scopes: readonly string[], challenge: Challenge): string[] {
  const wanted = (challenge.parameters.scope ?? '').split(' ').filter((scope) => scope !== '');
  return [...new Set([...scopes, ...wanted])];
}

function keyOf({ origin, scopes, credentials }: AuthTarget): string {
  return `${origin} ${scopes.join(' ')} ${credentialsKey(credentials)}`;
}
