/** Certificates made with openssl: an authority, and what it signs. Made once for each test process. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = mkdtempSync('/tmp/skiff-ca-');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
}

const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function makeAuthority(name: string): { path: string; pem: string } {
  openssl(
    'req',
    '-x509',
    ...ec,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.crt`,
    '-subj',
    `/CN=${name}`,
    '-days',
    '2',
  );
  return { path: join(folder, `${name}.crt`), pem: readFileSync(join(folder, `${name}.crt`), 'utf8') };
}

/** The authority that the certificates here are signed by. */
export const authority = makeAuthority('skiff-test-ca');

/** Another authority, which signs nothing. */
export const otherAuthority = makeAuthority('another-ca');

/** A certificate with its key: PEM text and paths. */
export interface Certificate {
  cert: string;
  key: string;
  certPath: string;
  keyPath: string;
}

/** Makes a certificate for an IP address (server) or a name (client). */
export async function certificateFor(
  subject: string,
  options: { expired?: boolean } = {},
): Promise<Certificate> {
  const name = `c${Math.random().toString(36).slice(2)}`;
  const isAddress = /^[\d.]+$/.test(subject);
  writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${isAddress ? 'IP' : 'DNS'}:${subject}\n`);
  openssl('req', ...ec, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${subject}`);
  // -days takes negative figures in x509 -req: the certificate ended yesterday.
  const days = options.expired === true ? '-1' : '2';
  const signing = ['-CA', 'skiff-test-ca.crt', '-CAkey', 'skiff-test-ca.key', '-CAcreateserial'];
  openssl(
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    ...signing,
    '-out',
    `${name}.crt`,
    '-days',
    days,
    '-extfile',
    `${name}.ext`,
  );
  const certPath = join(folder, `${name}.crt`);
  const keyPath = join(folder, `${name}.key`);
  return { certPath, keyPath, cert: readFileSync(certPath, 'utf8'), key: readFileSync(keyPath, 'utf8') };
}
