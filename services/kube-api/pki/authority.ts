/**
 * The API's certificate authority: made at the first start, it signs the server's certificate and those of the
 * administrator, the node and readers. ECDSA on P-256; keys are 0600.
 */
import { webcrypto, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { replaceFileSync } from '#foundation/base/files.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 24 * 3600 * 1000;
const authorityDays = 3650;
const certificateDays = 365;
/** A clock that is a little behind must still find a new certificate valid. */
const backdateMs = 5 * 60_000;

/** A certificate with its key, PEM. */
export interface KeyPair {
  cert: string;
  key: string;
}

/** Who a certificate is for. */
export interface Subject {
  commonName: string;
  organizations?: readonly string[];
  /** DNS names and addresses; with them it is a server's certificate. */
  names?: readonly string[];
}

/** Whom a request says that the certificate is to be for. */
export interface RequestedIdentity {
  commonName: string;
  organizations: readonly string[];
  /** DNS names and addresses. */
  names: readonly string[];
}

/** The authority. */
export interface Authority {
  /** Its certificate, PEM. */
  ca: string;
  /** The key pair in `<name>.crt` and `<name>.key`; made anew if it is missing, about to end, or for others. */
  ensure(name: string, subject: Subject): Promise<KeyPair>;
  /** Reads a PKCS #10 request. @throws an error if it is none, or not signed by its own key. */
  read(request: string): Promise<RequestedIdentity>;
  /** Signs a PKCS #10 request for what it asks. @throws SkiffError INVALID_ARGUMENT if it is none. */
  sign(request: string, options: { seconds: number; server: boolean }): Promise<string>;
}

/** The library takes 60 ms to load, so it is loaded when something must be signed. */
async function library() {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto as never);
  return x509;
}

/** Opens the authority in a folder, and makes it at the first time. @param now milliseconds since the epoch. */
export async function openAuthority(folder: string, now: () => number): Promise<Authority> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const paths = { cert: join(folder, 'ca.crt'), key: join(folder, 'ca.key') };
  if (!existsSync(paths.cert) || !existsSync(paths.key)) await makeAuthority(paths, now());
  const ca = readFileSync(paths.cert, 'utf8');
  const keyText = readFileSync(paths.key, 'utf8');
  return {
    ca,
    ensure: async (name, subject) => {
      const pair = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
      if (existsSync(pair.cert) && existsSync(pair.key)) {
        const found = { cert: readFileSync(pair.cert, 'utf8'), key: readFileSync(pair.key, 'utf8') };
        if (isGood(found.cert, ca, subject, now())) return found;
      }
      const made = await issue(ca, keyText, subject, now());
      replaceFileSync(pair.key, made.key);
      replaceFileSync(pair.cert, made.cert, { mode: 0o644 });
      return made;
    },
    read: readRequest,
    sign: (request, options) => signRequest(ca, keyText, request, options, now()),
  };
}

/** Whether a certificate is by this authority, for this subject, and has a third of its life before it. */
function isGood(pem: string, ca: string, subject: Subject, now: number): boolean {
  const certificate = new X509Certificate(pem);
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (now > to - (to - from) / 3 || !certificate.verify(new X509Certificate(ca).publicKey)) return false;
  const names = (subject.names ?? []).every((name) =>
    isIP(name) === 0 ? certificate.checkHost(name) !== undefined : certificate.checkIP(name) !== undefined,
  );
  return names && certificate.subject.includes(`CN=${subject.commonName}`);
}

async function exportKey(key: CryptoKey): Promise<string> {
  const bytes = await webcrypto.subtle.exportKey('pkcs8', key);
  const text = Buffer.from(bytes).toString('base64').replace(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN PRIVATE KEY-----\n${text}\n-----END PRIVATE KEY-----\n`;
}

async function importKey(pem: string): Promise<CryptoKey> {
  const bytes = Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64');
  return webcrypto.subtle.importKey('pkcs8', bytes, algorithm, true, ['sign']);
}

async function makeAuthority(paths: { cert: string; key: string }, now: number): Promise<void> {
  const x509 = await library();
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=skiff-ca',
    notBefore: new Date(now - backdateMs),
    notAfter: new Date(now + authorityDays * dayMs),
    signingAlgorithm: algorithm,
    keys: keys as never,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey as never),
    ],
  });
  replaceFileSync(paths.key, await exportKey(keys.privateKey));
  replaceFileSync(paths.cert, `${certificate.toString('pem')}\n`, { mode: 0o644 });
}

async function issue(ca: string, caKey: string, subject: Subject, now: number): Promise<KeyPair> {
  const x509 = await library();
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const names = (subject.names ?? []).map(
    (value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }) as const,
  );
  const usage = names.length > 0 ? [x509.ExtendedKeyUsage.serverAuth] : [x509.ExtendedKeyUsage.clientAuth];
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [...(subject.organizations ?? []).map((each) => ({ O: [each] })), { CN: [subject.commonName] }],
    issuer: new x509.X509Certificate(ca).subject,
    notBefore: new Date(now - backdateMs),
    notAfter: new Date(now + certificateDays * dayMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey as never,
    signingKey: (await importKey(caKey)) as never,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usage),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return { cert: `${certificate.toString('pem')}\n`, key: await exportKey(keys.privateKey) };
}

async function readRequest(request: string): Promise<RequestedIdentity> {
  const x509 = await library();
  const asked = new x509.Pkcs10CertificateRequest(request);
  if (!(await asked.verify())) throw new Error('the request is not signed by its own key');
  const names = asked.extensions.filter((each) => each instanceof x509.SubjectAlternativeNameExtension);
  return {
    commonName: asked.subjectName.getField('CN')[0] ?? '',
    organizations: asked.subjectName.getField('O'),
    names: names.flatMap((each) => each.names.items.map(({ value }) => value)),
  };
}

async function signRequest(
  ca: string,
  caKey: string,
  request: string,
  options: { seconds: number; server: boolean },
  now: number,
): Promise<string> {
  const x509 = await library();
  const asked = new x509.Pkcs10CertificateRequest(request);
  const names = asked.extensions.filter((each) => each instanceof x509.SubjectAlternativeNameExtension);
  const usage = options.server ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: asked.subject,
    issuer: new x509.X509Certificate(ca).subject,
    notBefore: new Date(now - backdateMs),
    notAfter: new Date(now + options.seconds * 1000),
    signingAlgorithm: algorithm,
    publicKey: asked.publicKey,
    signingKey: (await importKey(caKey)) as never,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([usage]),
      ...(options.server ? names : []),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}
