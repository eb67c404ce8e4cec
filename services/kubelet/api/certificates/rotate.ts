/**
 * Renews a certificate before it ends: at a random moment between 70 and 90 % of its life, so that the nodes of a
 * cluster do not all ask at once.
 */
import { X509Certificate } from 'node:crypto';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { type CertificateWish, type RequestDeps, requestCertificate } from './request.ts';
import type { CertificateStore, Identity } from './store.ts';

/** Milliseconds of the first and the longest pause after a failure. */
const firstPauseMs = 2_000;
const longestPauseMs = 128_000;
/** The longest sleep at one go: a clock that was set is noticed, and timers go no further than 24 days. */
const longestSleepMs = 3_600_000;

/** Milliseconds between two renewals at the least. */
const shortestLifeMs = 10_000;

/** What renewing needs. */
export interface RotateDeps extends RequestDeps {
  store: CertificateStore;
  logger: Logger;
  /** In [0, 1). */
  random?: () => number;
}

/**
 * Renews until the signal aborts; asks at once if there is no certificate.
 *
 * @param wish what to ask for, now.
 * @param onNew called with each new certificate, after it was stored.
 */
export async function keepCertificate(
  deps: RotateDeps,
  wish: () => CertificateWish,
  onNew: (identity: Identity) => void,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, logger, random = Math.random } = deps;
  let failures = 0;
  while (!signal.aborted) {
    await sleepUntil(deps, renewalTime(store.current(), random()), signal);
    if (signal.aborted) return;
    try {
      const identity = await renew(deps, wish(), signal);
      logger.info({ signer: wish().signer }, 'The cluster gave a new certificate');
      onNew(identity);
      failures = 0;
      // A signer whose certificates end at once must not be asked in a tight loop.
      await clock.sleep(shortestLifeMs, signal).catch(() => {});
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      logger.warn({ error: messageOf(error) }, 'Cannot get a certificate');
      const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1));
      await clock.sleep(pause * (1 + 0.1 * random()), signal).catch(() => {});
    }
  }
}

/** Gets a certificate and takes it into use. @throws SkiffError. */
export async function renew(
  { api, clock, store }: Pick<RotateDeps, 'api' | 'clock' | 'store'>,
  wish: CertificateWish,
  signal: AbortSignal,
): Promise<Identity> {
  const key = store.pendingKey();
  const cert = await requestCertificate({ api, clock }, key, wish, signal).catch((error: unknown) => {
    // A request that came to nothing is not asked for again: another key makes another request.
    if (isSkiffError(error, 'PERMISSION_DENIED', 'FAILED_PRECONDITION', 'DEADLINE_EXCEEDED'))
      store.dropPending();
    throw error;
  });
  store.save(cert, key, clock.now());
  return { cert, key };
}

/** When to renew: milliseconds since the epoch; 0 for at once. @param random in [0, 1). */
export function renewalTime(identity: Identity | undefined, random: number): number {
  if (identity === undefined) return 0;
  const { validFrom, validTo } = new X509Certificate(identity.cert);
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  return from + (to - from) * (0.7 + 0.2 * random);
}

async function sleepUntil({ clock }: RotateDeps, time: number, signal: AbortSignal): Promise<void> {
  for (let rest = time - clock.now(); rest > 0 && !signal.aborted; rest = time - clock.now())
    await clock.sleep(Math.min(rest, longestSleepMs), signal).catch(() => {});
}
