/**
 * Reads one `hosts.toml`, the file in which containerd's users describe a registry and its mirrors. The keys
 * are those of containerd's docs/hosts.md, and the `rewrite` tables that k3s and RKE2 add to each host.
 */
import { isAbsolute, join } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { z } from 'zod';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { allCapabilities, type Capability } from './host.ts';

/** One host as the file describes it; certificates are still paths. */
export interface HostEntry {
  /** Undefined: the registry that the folder is named after. */
  endpoint?: { scheme: 'https' | 'http'; schemeGiven: boolean; address: string };
  basePath: string;
  capabilities: ReadonlySet<Capability>;
  caFiles: string[];
  clientFiles: { cert: string; key: string }[];
  /** Undefined where the file says nothing. */
  skipVerify?: boolean;
  headers: Record<string, string[]>;
  connectMs?: number;
  rewrites: { pattern: RegExp; replacement: string }[];
}

const host = z.strictObject({
  capabilities: z.array(z.string()).optional(),
  ca: z.union([z.string(), z.array(z.string())]).optional(),
  client: z.union([z.string(), z.array(z.union([z.string(), z.tuple([z.string(), z.string()])]))]).optional(),
  skip_verify: z.boolean().optional(),
  header: z.record(z.string(), z.union([z.string(), z.array(z.string())])).optional(),
  override_path: z.boolean().optional(),
  dial_timeout: z.string().optional(),
  rewrite: z.record(z.string(), z.string()).optional(),
});
const file = host.extend({ server: z.string().optional(), host: z.record(z.string(), host).optional() });

/**
 * Parses a file.
 *
 * @param path where it was read; relative certificate paths start at its folder.
 * @returns the mirrors in the file's order, then the registry itself.
 * @throws SkiffError FAILED_PRECONDITION that names the file, the key or line, and what is wrong.
 */
export function parseHostsToml(text: string, path: string): HostEntry[] {
  const parsed = file.safeParse(parseToml(text, path));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw broken(path, `${issue?.path.join('.') || 'top level'}: ${issue?.message ?? 'invalid'}`);
  }
  const { server, host: hosts = {}, ...root } = parsed.data;
  const mirrors = Object.entries(hosts).map(([name, settings]) => readHost(name, settings, path));
  return [...mirrors, readHost(server, root, path)];
}

function parseToml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    const line = error instanceof TomlError ? `line ${error.line}: ` : '';
    throw broken(path, line + (messageOf(error).split('\n')[0] ?? ''));
  }
}

function readHost(name: string | undefined, settings: z.infer<typeof host>, path: string): HostEntry {
  const folder = join(path, '..');
  const absolute = (certificate: string) =>
    isAbsolute(certificate) ? certificate : join(folder, certificate);
  const url = name === undefined || name === '' ? undefined : readUrl(name, path);
  return {
    endpoint: url?.endpoint,
    basePath: basePath(url?.path ?? '', settings.override_path === true && url !== undefined),
    capabilities: readCapabilities(settings.capabilities, path),
    caFiles: listOf(settings.ca).map(absolute),
    clientFiles: listOf(settings.client).map((pair) => {
      const [cert, key] = typeof pair === 'string' ? [pair, pair] : pair;
      return { cert: absolute(cert), key: absolute(key) };
    }),
    skipVerify: settings.skip_verify,
    headers: readHeaders(settings.header ?? {}, path),
    connectMs: settings.dial_timeout === undefined ? undefined : parseDuration(settings.dial_timeout, path),
    rewrites: Object.entries(settings.rewrite ?? {}).map(([from, to]) => readRewrite(from, to, path)),
  };
}

function readUrl(name: string, path: string): { endpoint: HostEntry['endpoint']; path: string } {
  const schemeGiven = /^[a-z]+:\/\//i.test(name);
  const text = schemeGiven ? name : `https://${name}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.search !== '')
    throw broken(path, `"${name}" must be like https://host:port or https://host/path`);
  if (url.username !== '' || url.password !== '')
    throw broken(path, `"${url.host}" must not hold credentials; give them by header or Docker config`);
  const scheme = url.protocol === 'http:' ? 'http' : 'https';
  return { endpoint: { scheme, schemeGiven, address: url.host }, path: url.pathname.replace(/\/+$/, '') };
}

/** The API's path: `/v2` is added unless it is there or the configuration says that the path is whole. */
function basePath(path: string, override: boolean): string {
  return override || path.endsWith('/v2') ? path : `${path}/v2`;
}

function readCapabilities(names: string[] | undefined, path: string): ReadonlySet<Capability> {
  if (names === undefined || names.length === 0) return allCapabilities;
  const known = names.map((name) => name.toLowerCase()).filter((name) => name !== 'referrers');
  for (const name of known)
    if (!allCapabilities.has(name as Capability))
      throw broken(path, `unknown capability "${name}"; there are pull, resolve, push, referrers`);
  return new Set(known as Capability[]);
}

function readHeaders(headers: Record<string, string | string[]>, path: string): Record<string, string[]> {
  const entries = Object.entries(headers).map(([name, value]) => {
    const values = listOf(value);
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw broken(path, `"${name}" is no header name`);
    for (const text of values)
      if (/[^\t\x20-\x7e\x80-\xff]/.test(text))
        throw broken(path, `the value of header "${name}" has characters that HTTP does not allow`);
    return [name.toLowerCase(), values] as const;
  });
  return Object.fromEntries(entries);
}

function readRewrite(from: string, to: string, path: string): { pattern: RegExp; replacement: string } {
  try {
    return { pattern: new RegExp(from), replacement: to };
  } catch (error) {
    throw broken(path, `rewrite "${from}": ${messageOf(error)}`);
  }
}

const unitMs: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A Go duration: `1m30s`, `500ms`. */
function parseDuration(text: string, path: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const total = parts.reduce((sum, [, number, unit]) => sum + Number(number) * (unitMs[unit ?? ''] ?? 0), 0);
  if (parts.map(([whole]) => whole).join('') !== text || total <= 0)
    throw broken(path, `dial_timeout "${text}" must be a duration above zero, like "5s" or "1m30s"`);
  return total;
}

function listOf<T>(value: T | T[] | undefined): T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}

function broken(path: string, why: string): SkiffError {
  return new SkiffError('FAILED_PRECONDITION', `Invalid registry configuration ${path}: ${why}`);
}
