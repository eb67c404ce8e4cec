/** Approves what the node asks for itself, and signs what is approved. */
import { formatTime } from '#contracts/kubernetes/meta.ts';
import type { CertificateSigningRequest } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { Authority } from '../pki/authority.ts';
import type { ApiDeps } from '../verbs/deps.ts';
import type { Controller } from './controller.ts';
import { changeStored } from './objects.ts';
import { isApprovedByItself, signerRule, signingRefusal } from './signers.ts';

/** Seconds of a certificate's life unless asked: a year. */
const defaultSeconds = 365 * 24 * 3600;

/** Signs requests for the API's own signers. */
export function certificateSigning(deps: ApiDeps, authority: Authority): Controller {
  return {
    name: 'certificate-signing',
    watches: ['certificatesigningrequests.certificates.k8s.io'],
    pass: async () => {
      for (const { object } of deps.store.list('certificatesigningrequests.certificates.k8s.io')) {
        const csr = object as CertificateSigningRequest;
        if (signerRule(csr.spec.signerName) === undefined || isSettled(csr)) continue;
        await approveOwn(deps, authority, csr);
        await sign(deps, authority, csr);
      }
    },
  };
}

function has({ status }: CertificateSigningRequest, type: string): boolean {
  return status?.conditions?.some((each) => each.type === type) ?? false;
}

/** Whether there is nothing to do for a request any more. */
function isSettled(csr: CertificateSigningRequest): boolean {
  return has(csr, 'Denied') || has(csr, 'Failed') || csr.status?.certificate !== undefined;
}

function pemOf({ spec }: CertificateSigningRequest): string {
  return Buffer.from(spec.request, 'base64').toString();
}

/** A node's requests for itself are approved: only who has its certificate can make them. */
async function approveOwn(
  deps: ApiDeps,
  authority: Authority,
  csr: CertificateSigningRequest,
): Promise<void> {
  if (has(csr, 'Approved')) return;
  const identity = await authority.read(pemOf(csr)).catch(() => undefined);
  if (identity === undefined || !isApprovedByItself(csr, identity)) return;
  await changeStored<CertificateSigningRequest>(
    deps,
    'certificatesigningrequests.certificates.k8s.io',
    csr,
    (current) => ({
      ...current,
      status: {
        ...current.status,
        conditions: [
          ...(current.status?.conditions ?? []),
          {
            type: 'Approved',
            status: 'True',
            reason: 'AutoApproved',
            message: 'Auto approving a certificate that a node asks for itself.',
            lastUpdateTime: formatTime(deps.clock.now()),
            lastTransitionTime: formatTime(deps.clock.now()),
          },
        ],
      },
    }),
  );
}

async function sign(deps: ApiDeps, authority: Authority, csr: CertificateSigningRequest): Promise<void> {
  const found = deps.store.get('certificatesigningrequests.certificates.k8s.io', { name: csr.metadata.name });
  const now = found?.object as CertificateSigningRequest | undefined;
  if (
    now === undefined ||
    !has(now, 'Approved') ||
    has(now, 'Failed') ||
    now.status?.certificate !== undefined
  )
    return;
  const result = await certificateFor(authority, now);
  const time = formatTime(deps.clock.now());
  await changeStored<CertificateSigningRequest>(
    deps,
    'certificatesigningrequests.certificates.k8s.io',
    now,
    (current) => {
      if ('certificate' in result)
        return { ...current, status: { ...current.status, certificate: result.certificate } };
      const failed = {
        type: 'Failed',
        status: 'True',
        reason: 'SignerValidationFailure',
        message: result.failure,
        lastUpdateTime: time,
        lastTransitionTime: time,
      };
      return {
        ...current,
        status: { ...current.status, conditions: [...(current.status?.conditions ?? []), failed] },
      };
    },
  );
}

/** The certificate, or why there is none. */
async function certificateFor(
  authority: Authority,
  csr: CertificateSigningRequest,
): Promise<{ certificate: string } | { failure: string }> {
  const seconds = Math.max(600, csr.spec.expirationSeconds ?? defaultSeconds);
  const server = signerRule(csr.spec.signerName)?.server === true;
  try {
    const failure = signingRefusal(csr, await authority.read(pemOf(csr)));
    if (failure !== undefined) return { failure };
    const certificate = await authority.sign(pemOf(csr), { seconds, server });
    return { certificate: Buffer.from(certificate).toString('base64') };
  } catch (error) {
    return { failure: messageOf(error) };
  }
}
