/** Keys, and requests for certificates (PKCS #10) with them. */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  webcrypto,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Who a certificate is to be for. */
export interface CertificateSubject {
  commonName: string;
  organization: string;
  /** DNS names and addresses of a server's certificate. */
  names?: readonly string[];
}

/** A new private key, PEM. */
export function newKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** A request, PEM, signed with the key. @throws the errors of node:crypto for a key that is none. */
export async function certificateRequest(key: string, subject: CertificateSubject): Promise<string> {
  // Loaded only when a certificate is asked for. It wants Reflect's metadata to be there first.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const privateKey = createPrivateKey(key);
  const keys = {
    privateKey: await webcrypto.subtle.importKey(
      'pkcs8',
      privateKey.export({ type: 'pkcs8', format: 'der' }),
      algorithm,
      true,
      ['sign'],
    ),
    publicKey: await webcrypto.subtle.importKey(
      'spki',
      createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
      algorithm,
      true,
      ['verify'],
    ),
  };
  const names = (subject.names ?? []).map((value) => ({
    type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const),
    value,
  }));
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    {
      name: [{ O: [subject.organization] }, { CN: [subject.commonName] }],
      keys,
      signingAlgorithm: algorithm,
      extensions: names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)],
    },
    webcrypto as never,
  );
  return `${request.toString('pem')}\n`;
}

/** Whether a certificate is for this key. */
export function belongTogether(cert: string, key: string): boolean {
  return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
}
