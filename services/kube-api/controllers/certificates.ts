/** Approves what the node asks for itself, and signs what is approved. */
import { formatTime } from '#contracts/kubernetes/meta.ts';
import type { CertificateSigningRequest } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { Authority } from '../pki/authority.ts';
import type { ApiDeps } from '../verbs/deps.ts';
import type { Controller } from './controller.ts';
import { changeStored } from './objects.ts';

const clientSigner = 'kubernetes.io/kube-apiserver-client';
const kubeletClientSigner = 'kubernetes.io/kube-apiserver-client-kubelet';
const kubeletServingSigner = 'kubernetes.io/kubelet-serving';
const signers = new Set([clientSigner, kubeletClientSigner, kubeletServingSigner]);
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
        if (!signers.has(csr.spec.signerName)) continue;
        await approveOwn(deps, csr);
        await sign(deps, authority, csr);
      }
    },
  };
}

function has({ status }: CertificateSigningRequest, type: string): boolean {
  return status?.conditions?.some((each) => each.type === type) ?? false;
}

/** A node's requests for itself are approved: only a node's certificate could make them. */
async function approveOwn(deps: ApiDeps, csr: CertificateSigningRequest): Promise<void> {
  const ofNode = csr.spec.username?.startsWith('system:node:') && csr.spec.groups?.includes('system:nodes');
  if (!ofNode || csr.spec.signerName === clientSigner || has(csr, 'Approved') || has(csr, 'Denied')) return;
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
  const pem = Buffer.from(now.spec.request, 'base64').toString();
  const seconds = Math.max(600, now.spec.expirationSeconds ?? defaultSeconds);
  const result = await authority
    .sign(pem, { seconds, server: now.spec.signerName === kubeletServingSigner })
    .then((certificate) => ({ certificate: Buffer.from(certificate).toString('base64') }))
    .catch((error: unknown) => ({ failure: messageOf(error) }));
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
        reason: 'SigningError',
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
