/** Credentials for registries: from pull secrets and from the node's docker configuration files. */
import { readFileSync } from 'node:fs';
import type { Secret } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { registryPathOf } from './reference.ts';

/** One credential, as CRI's AuthConfig takes it. */
export interface Credential {
  username: string;
  password: string;
  identityToken?: string;
  registryToken?: string;
}

/** Credentials by registry key: host, host/path, or a glob. */
export type Keyring = readonly { key: string; credential: Credential }[];

interface DockerEntry {
  username?: string;
  password?: string;
  auth?: string;
  identitytoken?: string;
  registrytoken?: string;
}

/**
 * The keyring in a pull secret.
 *
 * @throws SkiffError INVALID_ARGUMENT when it has a wrong type or does not parse, saying nothing of what is in it.
 */
export function keyringOfSecret(secret: Secret): Keyring {
  const json = secret.data?.['.dockerconfigjson'];
  if (secret.type === 'kubernetes.io/dockerconfigjson' && json !== undefined) {
    return parseDockerConfig(Buffer.from(json, 'base64').toString());
  }
  const legacy = secret.data?.['.dockercfg'];
  if (secret.type === 'kubernetes.io/dockercfg' && legacy !== undefined) {
    return keyringOf(parseJson(Buffer.from(legacy, 'base64').toString()) as Record<string, DockerEntry>);
  }
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `secret "${secret.metadata?.name}" is of type ${secret.type} and holds no registry credentials`,
  );
}

/** V8 quotes what it cannot parse, and this message is told in events. @throws SkiffError INVALID_ARGUMENT. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SkiffError('INVALID_ARGUMENT', 'its credentials are no JSON');
  }
}

/** Parses a docker `config.json`. @throws SkiffError INVALID_ARGUMENT. */
function parseDockerConfig(text: string): Keyring {
  const config = parseJson(text) as { auths?: Record<string, DockerEntry> };
  return keyringOf(config.auths ?? {});
}

function keyringOf(auths: Record<string, DockerEntry>): Keyring {
  return Object.entries(auths).map(([key, entry]) => ({
    key: key.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, ''),
    credential: credentialOf(entry),
  }));
}

function credentialOf(entry: DockerEntry): Credential {
  const decoded = entry.auth === undefined ? undefined : Buffer.from(entry.auth, 'base64').toString();
  const colon = decoded?.indexOf(':') ?? -1;
  const tokens = {
    ...(entry.identitytoken === undefined ? {} : { identityToken: entry.identitytoken }),
    ...(entry.registrytoken === undefined ? {} : { registryToken: entry.registrytoken }),
  };
  if (decoded === undefined || colon < 0) {
    return { username: entry.username ?? '', password: entry.password ?? '', ...tokens };
  }
  const password = decoded.slice(colon + 1).replace(/\0+$/, '');
  return { username: decoded.slice(0, colon), password, ...tokens };
}

/** The keyring of the node: the docker configurations at the original's places; missing files are fine. */
export function nodeKeyring(directories: readonly string[]): Keyring {
  return directories.flatMap((directory) => {
    try {
      return parseDockerConfig(readFileSync(`${directory}/config.json`, 'utf8'));
    } catch {
      return []; // Most nodes have none; a broken one is as good as none.
    }
  });
}

/** The credentials that fit an image, the most specific key first. */
export function credentialsFor(image: string, keyring: Keyring): Credential[] {
  const path = registryPathOf(image);
  const fitting = keyring.filter(({ key }) =>
    keyFits(key.replace(/^docker\.io(?=\/|$)/, 'index.docker.io'), path),
  );
  return fitting.sort((a, b) => b.key.length - a.key.length).map(({ credential }) => credential);
}

/** Whether a key or pattern fits a registry path: hosts part by part with globs, ports exactly, paths as a prefix. */
export function keyFits(key: string, path: string): boolean {
  const [keyHost = '', ...keyPath] = key.split('/');
  const [host = '', ...rest] = path.split('/');
  const [keyName = '', keyPort] = keyHost.split(':');
  const [name = '', port] = host.split(':');
  if (keyPort !== port) return false;
  const keyParts = keyName.split('.');
  const parts = name.split('.');
  if (keyParts.length !== parts.length) return false;
  if (!keyParts.every((part, index) => globFits(part, parts[index] ?? ''))) return false;
  return rest.join('/').startsWith(keyPath.join('/'));
}

function globFits(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`).test(text);
}
