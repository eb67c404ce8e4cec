/**
 * Kubeconfig files: who to talk to and as whom. Only what a node and its command line need: certificates,
 * tokens, token files. Exec plugins and auth providers are refused by name.
 * https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';

/** A server and an identity, with every file already read. */
export interface Connection {
  /** `https://host:port`, without a trailing slash. */
  server: string;
  /** PEM. */
  ca?: string;
  cert?: string;
  key?: string;
  /** Reads the certificate and its key anew, where they are files: these are replaced before they end. */
  identity?: () => { cert?: string; key?: string };
  /** Reads the bearer token anew, since token files rotate. */
  token?: () => string;
  /** The name that the server's certificate must carry instead of the host in `server`. */
  serverName?: string;
  /** Accept any certificate. */
  insecure?: boolean;
  /** The context's namespace. */
  namespace?: string;
}

interface Named {
  name: string;
}
interface File {
  'current-context'?: string;
  clusters?: (Named & { cluster: Record<string, unknown> })[];
  users?: (Named & { user: Record<string, unknown> })[];
  contexts?: (Named & { context: { cluster?: string; user?: string; namespace?: string } })[];
}

/**
 * Reads a kubeconfig file's current context, or the named one.
 *
 * @throws SkiffError INVALID_ARGUMENT with the file and what is wrong in it.
 */
export function loadKubeconfig(path: string, contextName?: string): Connection {
  const fail = (reason: string): never => {
    throw new SkiffError('INVALID_ARGUMENT', `Cannot use the kubeconfig ${path}: ${reason}`);
  };
  const file = readFile(path, fail);
  const name = contextName ?? file['current-context'] ?? '';
  const context = find(file.contexts, name)?.context ?? fail(`it has no context "${name}"`);
  const cluster =
    find(file.clusters, context.cluster)?.cluster ?? fail(`it has no cluster "${context.cluster}"`);
  const user = find(file.users, context.user)?.user ?? {};
  const refused = ['exec', 'auth-provider', 'username'].find((key) => key in user);
  if (refused !== undefined) fail(`user "${context.user}" wants ${refused}; use a certificate or a token`);
  const server = text(cluster.server) ?? fail(`cluster "${context.cluster}" has no server`);
  const read = reader(dirname(resolve(path)), fail);
  const identityOf = (from: Record<string, unknown>) => ({
    cert: read(from, 'client-certificate'),
    key: read(from, 'client-key'),
  });
  return {
    server: server.replace(/\/+$/, ''),
    ca: read(cluster, 'certificate-authority'),
    ...identityOf(user),
    ...(isFile(user) ? { identity: () => identityOf(user) } : {}),
    token: tokenOf(user, dirname(resolve(path))),
    serverName: text(cluster['tls-server-name']),
    insecure: cluster['insecure-skip-tls-verify'] === true,
    namespace: context.namespace,
  };
}

function readFile(path: string, fail: (reason: string) => never): File {
  try {
    const value: unknown = parse(readFileSync(path, 'utf8'));
    if (typeof value === 'object' && value !== null) return value as File;
  } catch (error) {
    fail(messageOf(error));
  }
  return fail('it is not a YAML mapping');
}

function find<T extends Named>(list: T[] | undefined, name: string | undefined): T | undefined {
  return list?.find((each) => each.name === name);
}

/** Whether a user's certificate is in a file, which may be replaced. */
function isFile(user: Record<string, unknown>): boolean {
  return (
    text(user['client-certificate-data']) === undefined && text(user['client-certificate']) !== undefined
  );
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Reads `KEY-data` (base64) or the file that `KEY` names, relative to the kubeconfig's folder. */
function reader(folder: string, fail: (reason: string) => never) {
  return (from: Record<string, unknown>, key: string): string | undefined => {
    const data = text(from[`${key}-data`]);
    if (data !== undefined) return Buffer.from(data, 'base64').toString();
    const path = text(from[key]);
    if (path === undefined) return undefined;
    try {
      return readFileSync(resolve(folder, path), 'utf8');
    } catch (error) {
      return fail(`${key}: ${messageOf(error)}`);
    }
  };
}

function tokenOf(user: Record<string, unknown>, folder: string): (() => string) | undefined {
  const fixed = text(user.token);
  if (fixed !== undefined) return () => fixed;
  const path = text(user.tokenFile);
  return path === undefined ? undefined : () => readFileSync(resolve(folder, path), 'utf8').trim();
}
