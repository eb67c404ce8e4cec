/** A place where a registry's content can be had: the registry itself or a mirror, with how to talk to it. */

/** What a host may be asked for. */
export type Capability = 'pull' | 'resolve' | 'push';

/** How to prove who is who. PEM text, read from the configured files. */
export interface TlsSettings {
  /** Authorities trusted beside the machine's. */
  ca: readonly string[];
  clients: readonly { cert: string; key: string }[];
  skipVerify: boolean;
}

/** One endpoint. */
export interface RegistryHost {
  scheme: 'https' | 'http';
  /** Host with an optional port, as it stands in a URL. */
  address: string;
  /** Path of the API without a final slash: `/v2`. */
  basePath: string;
  capabilities: ReadonlySet<Capability>;
  /** Whether http is tried when https is not spoken there: loopback addresses without a configured scheme. */
  httpFallback: boolean;
  tls: TlsSettings;
  /** Sent with every request to this host, and to no other. */
  headers: Readonly<Record<string, string[]>>;
  /** Milliseconds to connect; the client's limit if left out. */
  connectMs?: number;
  /** Repository rewrites: the first pattern that matches is applied. */
  rewrites: readonly { pattern: RegExp; replacement: string }[];
  /** Whether this is another host than the one the image's name says. */
  mirror: boolean;
}

/** Everything a host is asked for unless told otherwise. */
export const allCapabilities: ReadonlySet<Capability> = new Set(['pull', 'resolve', 'push']);

/** No authorities, no client certificates, verified. */
export const defaultTls: TlsSettings = { ca: [], clients: [], skipVerify: false };

/** The repository's name as this host knows it. */
export function repositoryAt(host: RegistryHost, path: string): string {
  for (const { pattern, replacement } of host.rewrites)
    if (pattern.test(path)) return path.replace(pattern, replacement);
  return path;
}

/** Whether an address (`host[:port]`) is this machine itself. */
export function isLoopback(address: string): boolean {
  const name = address.startsWith('[')
    ? address.slice(1, address.indexOf(']'))
    : address.replace(/:\d+$/, '');
  return name === 'localhost' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** The host part of an address, without its port. */
export function hostnameOf(address: string): string {
  return address.replace(/:\d+$/, '');
}
