/** TLS contexts: the machine's authorities, a host's own, and its client certificates. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { TlsSettings } from '../hosts/host.ts';

/** Where distributions keep their authorities as one file: Debian, Fedora, openSUSE, Alpine. */
const machineBundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** Contexts that are kept: with the machine's authorities one takes about 8 ms of the event loop to make. */
const maxContexts = 32;

/** Makes TLS contexts, one for equal settings; the machine's bundle is read once. */
export interface Trust {
  /** @throws SkiffError FAILED_PRECONDITION if OpenSSL cannot use a certificate or key. */
  contextFor(tls: TlsSettings): Promise<SecureContext>;
}

/** Makes a `Trust`. */
export function createTrust(): Trust {
  let machine: Promise<readonly string[]> | undefined;
  const contexts = new Map<string, Promise<SecureContext>>();
  const make = async (tls: TlsSettings): Promise<SecureContext> => {
    machine ??= readMachineBundle();
    const authorities = tls.skipVerify ? [] : [...(await machine), ...tls.ca];
    try {
      const context = createSecureContext({
        ca: authorities,
        cert: tls.clients.map((client) => client.cert),
        key: tls.clients.map((client) => client.key),
      });
      await nextTurn(); // That took its time; the connection that follows takes its own.
      return context;
    } catch (error) {
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `the certificates configured for the registry are of no use: ${messageOf(error)}`,
        { cause: error },
      );
    }
  };
  return {
    contextFor(tls) {
      const key = createHash('sha256').update(JSON.stringify(tls)).digest('base64url');
      const context = contexts.get(key) ?? make(tls);
      if (contexts.size >= maxContexts) contexts.clear();
      contexts.set(key, context);
      context.catch(() => contexts.delete(key));
      return context;
    },
  };
}

/** The machine's authorities, so that one that an administrator added counts; else those inside Node. */
async function readMachineBundle(): Promise<readonly string[]> {
  for (const path of machineBundles) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text.includes('-----BEGIN CERTIFICATE-----')) return [text];
  }
  return rootCertificates;
}
