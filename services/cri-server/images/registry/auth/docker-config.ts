/**
 * Credentials from Docker's `config.json` (and Podman's `auth.json`, the same format with longer keys):
 * `credHelpers` first, then `credsStore`, then `auths`, as Docker's command line has it.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { errnoOf, messageOf, SkiffError } from '#foundation/base/errors.ts';
import { type Credentials, canonicalAddress, fromBase64, passwordOf } from './credentials.ts';
import { askHelper } from './helper.ts';

const entry = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});
const config = z.looseObject({
  auths: z.record(z.string(), entry.nullable()).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});

/** The key under which Docker keeps its own registry's credentials. */
const dockerServer = 'https://index.docker.io/v1/';

/**
 * Looks for the credentials of a registry in the given files; absent files count as empty.
 *
 * @param address the registry's `host[:port]`.
 * @param repository the repository below it; Podman's keys may go that deep, and the longest wins.
 * @throws SkiffError FAILED_PRECONDITION if a file is no Docker config or a helper fails.
 */
export async function fromDockerConfigs(
  paths: readonly string[],
  address: string,
  repository: string,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  for (const path of paths) {
    const parsed = await readConfig(path);
    const found = parsed && (await lookUp(parsed, path, canonicalAddress(address), repository, signal));
    if (found !== undefined) return found;
  }
  return undefined;
}

async function lookUp(
  { auths = {}, credHelpers = {}, credsStore }: z.infer<typeof config>,
  path: string,
  registry: string,
  repository: string,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  for (const [key, helper] of Object.entries(credHelpers))
    if (canonicalAddress(key) === registry) return askHelper(helper, key, signal);
  if (credsStore) {
    const server = registry === 'docker.io' ? dockerServer : registry;
    const found = await askHelper(credsStore, server, signal);
    if (found !== undefined) return found;
  }
  const key = bestKey(Object.keys(auths), registry, repository);
  const found = key === undefined ? undefined : auths[key];
  return found == null ? undefined : fromEntry(found, `${path}: the auth of "${key}"`);
}

/** The key for this registry that names the most of the repository's path. */
function bestKey(keys: string[], registry: string, repository: string): string | undefined {
  const ranked = keys
    .filter((key) => canonicalAddress(key) === registry)
    .map((key) => ({ key, path: pathOf(key) }))
    .filter(({ path }) => path === '' || repository === path || repository.startsWith(`${path}/`))
    .sort((a, b) => b.path.length - a.path.length);
  return ranked[0]?.key;
}

/** The repository part of a key. Keys that are URLs have API paths instead, which mean nothing here. */
function pathOf(key: string): string {
  return /^https?:\/\//i.test(key) ? '' : key.replace(/^[^/]*\/?/, '').replace(/\/+$/, '');
}

function fromEntry(found: z.infer<typeof entry>, what: string): Credentials | undefined {
  const login = found.auth ? fromBase64(found.auth, what) : undefined;
  const username = login?.kind === 'password' ? login.username : (found.username ?? '');
  if (found.identitytoken) return { kind: 'identity', token: found.identitytoken, username };
  if (found.registrytoken) return { kind: 'bearer', token: found.registrytoken };
  return login ?? (found.username ? passwordOf(found.username, found.password ?? '') : undefined);
}

async function readConfig(path: string): Promise<z.infer<typeof config> | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined;
    throw broken(path, messageOf(error));
  }
  try {
    return config.parse(JSON.parse(text));
  } catch (error) {
    const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
    // A JSON error's own words may quote the file, and the file holds secrets.
    throw broken(path, issue === undefined ? 'it is not JSON' : `${issue.path.join('.')}: ${issue.message}`);
  }
}

function broken(path: string, why: string): SkiffError {
  return new SkiffError('FAILED_PRECONDITION', `Cannot read Docker config ${path}: ${why}`);
}
