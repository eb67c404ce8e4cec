/**
 * Asks the cluster for a certificate: a CertificateSigningRequest is made, and then waited for, until somebody has
 * approved it and the signer has signed it.
 * https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
 */
import { createHash } from 'node:crypto';
import type { CertificateSigningRequest } from '#contracts/kubernetes/types.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { KubeletApi } from '../../ports.ts';
import { belongTogether, type CertificateSubject, certificateRequest } from './key.ts';

const collection = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
/** Milliseconds of the first and the longest pause between two looks at the request. */
const firstLookMs = 100;
const longestLookMs = 15_000;
/** Milliseconds after which another request is made: the original's quarter of an hour. */
const patienceMs = 15 * 60_000;

/** What a request needs. */
export interface RequestDeps {
  api: Pick<KubeletApi, 'request'>;
  clock: Clock;
}

/** What is asked for. */
export interface CertificateWish {
  signer: 'kubernetes.io/kube-apiserver-client-kubelet' | 'kubernetes.io/kubelet-serving';
  subject: CertificateSubject;
}

/** What a node asks for as a client. */
export function clientWish(nodeName: string): CertificateWish {
  const subject = { commonName: `system:node:${nodeName}`, organization: 'system:nodes' };
  return { signer: 'kubernetes.io/kube-apiserver-client-kubelet', subject };
}

/** What a node asks for as a server. @param names its host name and addresses. */
export function servingWish(nodeName: string, names: readonly string[]): CertificateWish {
  const { subject } = clientWish(nodeName);
  return { signer: 'kubernetes.io/kubelet-serving', subject: { ...subject, names: [...new Set(names)] } };
}

/**
 * Gets a certificate for a key.
 *
 * @param key PEM. The request's name follows from it, so that who asks again finds the first request.
 * @returns the certificate chain, PEM.
 * @throws SkiffError PERMISSION_DENIED when it was denied, FAILED_PRECONDITION when the signer refused,
 *   DEADLINE_EXCEEDED when nobody answered in time, and the API's own.
 */
export async function requestCertificate(
  { api, clock }: RequestDeps,
  key: string,
  wish: CertificateWish,
  signal: AbortSignal,
): Promise<string> {
  const name = await submit(api, key, wish, signal);
  const end = clock.monotonic() + patienceMs;
  for (let pause = firstLookMs; clock.monotonic() < end; pause = Math.min(longestLookMs, pause * 2)) {
    const path = `${collection}/${name}`;
    const csr = await api.request<CertificateSigningRequest>({ method: 'GET', path, signal });
    const pem = issued(csr);
    if (pem !== undefined) {
      if (belongTogether(pem, key)) return pem;
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `The certificate of request ${name} is for another key; delete the request`,
      );
    }
    await clock.sleep(pause, signal);
  }
  throw new SkiffError(
    'DEADLINE_EXCEEDED',
    `Nobody signed the certificate request ${name} within ${patienceMs / 60_000} minutes; see: kubectl get csr`,
  );
}

/** Makes the request, or finds the one that was made with this key before. */
async function submit(
  api: RequestDeps['api'],
  key: string,
  { signer, subject }: CertificateWish,
  signal: AbortSignal,
): Promise<string> {
  const request = await certificateRequest(key, subject);
  const identity = JSON.stringify([key, signer, subject]);
  const name = `node-csr-${createHash('sha256').update(identity).digest('hex').slice(0, 40)}`;
  const server = signer === 'kubernetes.io/kubelet-serving';
  const body: CertificateSigningRequest = {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name },
    spec: {
      request: Buffer.from(request).toString('base64'),
      signerName: signer,
      usages: ['digital signature', server ? 'server auth' : 'client auth'],
    },
  };
  try {
    await api.request({ method: 'POST', path: collection, body, signal });
  } catch (error) {
    if (!isSkiffError(error, 'ALREADY_EXISTS')) throw error;
  }
  return name;
}

/** The certificate; undefined if it is not there yet. @throws SkiffError when there will be none. */
function issued({ metadata, status }: CertificateSigningRequest): string | undefined {
  for (const { type, reason, message } of status?.conditions ?? []) {
    const why = [reason, message].filter(Boolean).join(': ');
    if (type === 'Denied')
      throw new SkiffError(
        'PERMISSION_DENIED',
        `The certificate request ${metadata.name} was denied: ${why}`,
      );
    if (type === 'Failed')
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `The certificate request ${metadata.name} was not signed: ${why}`,
      );
  }
  const bytes = status?.certificate;
  return bytes === undefined || bytes === '' ? undefined : Buffer.from(bytes, 'base64').toString();
}
