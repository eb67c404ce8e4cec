/** The server's certificate: the files that were configured, else one the kubelet signs for itself and keeps. */
import { webcrypto, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';

/** A certificate and its private key, PEM. */
export interface ServerCertificate {
  cert: string;
  key: string;
}

/** What a certificate is for. */
export interface CertificateRequest {
  /** `tlsCertFile` and `tlsPrivateKeyFile`; empty for a self-signed one. */
  certFile: string;
  keyFile: string;
  /** Where self-signed ones are kept: `<kubelet root>/pki`. */
  directory: string;
  hostname: string;
  addresses: readonly string[];
}

const dayMs = 24 * 3600 * 1000;
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** The certificate to serve with. @throws SkiffError if configured files cannot be read. */
export async function serverCertificate(request: CertificateRequest): Promise<ServerCertificate> {
  const { certFile, keyFile, directory } = request;
  if (certFile !== '') return readPair(certFile, keyFile);
  const kept = { cert: join(directory, 'kubelet.crt'), key: join(directory, 'kubelet.key') };
  if (existsSync(kept.cert) && existsSync(kept.key)) {
    const pair = readPair(kept.cert, kept.key);
    if (stillGood(pair.cert)) return pair;
  }
  const made = await selfSigned(request.hostname, request.addresses);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  replaceFileSync(kept.key, made.key, { mode: 0o600 });
  replaceFileSync(kept.cert, made.cert, { mode: 0o644 });
  return made;
}

function readPair(certFile: string, keyFile: string): ServerCertificate {
  try {
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  } catch (error) {
    throw wrapError(error, "Cannot read the kubelet's certificate");
  }
}

function stillGood(pem: string): boolean {
  try {
    return Date.parse(new X509Certificate(pem).validTo) - Date.now() > 30 * dayMs;
  } catch {
    return false;
  }
}

/** Signs a certificate for a name and addresses, good for a year as the original's. */
export async function selfSigned(hostname: string, addresses: readonly string[]): Promise<ServerCertificate> {
  // Loaded only when a certificate is made: once a year. It wants Reflect's metadata to be there first.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const names = [...new Set([hostname, ...addresses])].map((name) => ({
    type: isIP(name) === 0 ? ('dns' as const) : ('ip' as const),
    value: name,
  }));
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${hostname.replace(/[^A-Za-z0-9.-]/g, '-')}@${Math.floor(Date.now() / 1000)}`,
      notBefore: new Date(Date.now() - 3600 * 1000),
      notAfter: new Date(Date.now() + 365 * dayMs),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(names),
      ],
    },
    webcrypto as Parameters<typeof x509.X509CertificateGenerator.createSelfSigned>[1],
  );
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { cert: certificate.toString('pem'), key: x509.PemConverter.encode(key, 'PRIVATE KEY') };
}
