/**
 * Finds the hosts of a registry: its mirrors and itself, in the order in which they are asked. The folders
 * are read at every call, so that changes count at once.
 *
 * Folders of `docker.io` and `registry:5000`, first match: `registry_5000_`, `registry:5000`, `_default`
 * (containerd's rule). A folder without `hosts.toml` may hold Docker's certificate files instead:
 * `*.crt` are authorities, `*.cert` with `*.key` client certificates.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, messageOf, SkiffError } from '#foundation/base/errors.ts';
import { defaultDomain } from '../../reference.ts';
import { allCapabilities, defaultTls, isLoopback, type RegistryHost, type TlsSettings } from './host.ts';
import { type HostEntry, parseHostsToml } from './hosts-toml.ts';

/** Where images of `docker.io` are served. */
const dockerAddress = 'registry-1.docker.io';

/**
 * The hosts to ask for images of `domain`, best first.
 *
 * @param certsDirs folders in the layout of containerd's `certs.d`; the first that knows the domain wins.
 * @throws SkiffError FAILED_PRECONDITION if a file is broken or a certificate cannot be read.
 */
export async function findHosts(certsDirs: readonly string[], domain: string): Promise<RegistryHost[]> {
  for (const root of certsDirs) {
    for (const name of folderNames(domain)) {
      const entries = await readFolder(join(root, name));
      if (entries !== undefined) return Promise.all(entries.map((entry) => toHost(entry, domain)));
    }
  }
  return [ownHost(domain, defaultTls, undefined)];
}

function folderNames(domain: string): string[] {
  const colon = domain.lastIndexOf(':');
  const hasPort = colon > 0 && !domain.endsWith(']');
  const underscored = hasPort ? [`${domain.slice(0, colon)}_${domain.slice(colon + 1)}_`] : [];
  return [...underscored, domain, '_default'];
}

async function readFolder(folder: string): Promise<HostEntry[] | undefined> {
  const path = join(folder, 'hosts.toml');
  const text = await readIfThere(path);
  if (text !== undefined && text.trim() !== '') return parseHostsToml(text, path);
  const names = await listIfThere(folder);
  return names === undefined ? undefined : [certificatesOnly(folder, names)];
}

function certificatesOnly(folder: string, names: string[]): HostEntry {
  const clients = names
    .filter((name) => name.endsWith('.cert'))
    .map((name) => {
      const key = name.replace(/\.cert$/, '.key');
      return { cert: join(folder, name), key: join(folder, names.includes(key) ? key : name) };
    });
  return {
    basePath: '/v2',
    capabilities: allCapabilities,
    caFiles: names.filter((name) => name.endsWith('.crt')).map((name) => join(folder, name)),
    clientFiles: clients,
    headers: {},
    rewrites: [],
  };
}

async function toHost(entry: HostEntry, domain: string): Promise<RegistryHost> {
  const tls = await readTls(entry);
  const own = ownHost(domain, tls, entry.skipVerify);
  const common = {
    capabilities: entry.capabilities,
    headers: entry.headers,
    connectMs: entry.connectMs,
    rewrites: entry.rewrites,
  };
  if (entry.endpoint === undefined) return { ...own, ...common };
  const { scheme, schemeGiven, address } = entry.endpoint;
  const guess = !schemeGiven && isLoopback(address);
  return {
    ...common,
    scheme,
    address,
    basePath: entry.basePath,
    httpFallback: guess,
    tls: { ...tls, skipVerify: entry.skipVerify ?? guess },
    mirror: address !== own.address,
  };
}

/**
 * The registry that a domain names. On loopback addresses nobody can listen in and certificates are rare, so
 * https is tried without verifying and then http, as Docker and containerd do.
 */
function ownHost(domain: string, tls: TlsSettings, skipVerify: boolean | undefined): RegistryHost {
  const loopback = isLoopback(domain);
  const plain = loopback && domain.endsWith(':80');
  return {
    scheme: plain ? 'http' : 'https',
    address: domain === defaultDomain ? dockerAddress : domain,
    basePath: '/v2',
    capabilities: allCapabilities,
    httpFallback: loopback && !plain,
    tls: { ...tls, skipVerify: skipVerify ?? (loopback && tls.ca.length === 0) },
    headers: {},
    rewrites: [],
    mirror: false,
  };
}

async function readTls(entry: HostEntry): Promise<TlsSettings> {
  const ca = await Promise.all(entry.caFiles.map(readCertificate));
  const clients = await Promise.all(
    entry.clientFiles.map(async (files) => ({
      cert: await readCertificate(files.cert),
      key: await readCertificate(files.key),
    })),
  );
  return { ca, clients, skipVerify: entry.skipVerify ?? false };
}

async function readCertificate(path: string): Promise<string> {
  try {
    const text = await readFile(path, 'utf8');
    if (text.includes('-----BEGIN ')) return text;
  } catch (error) {
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Cannot read registry certificate ${path}: ${messageOf(error)}`,
    );
  }
  throw new SkiffError('FAILED_PRECONDITION', `Cannot use registry certificate ${path}: it is not PEM`);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw unreadable(path, error);
  }
}

async function listIfThere(path: string): Promise<string[] | undefined> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw unreadable(path, error);
  }
}

function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '');
}

function unreadable(path: string, error: unknown): SkiffError {
  return new SkiffError(
    'FAILED_PRECONDITION',
    `Cannot read registry configuration ${path}: ${messageOf(error)}`,
    { cause: error },
  );
}
