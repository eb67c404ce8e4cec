/**
 * Gets a node into a cluster with credentials that are good for nothing but asking: a certificate of its own is
 * requested with them, and a kubeconfig that names it is written. Afterwards they are not needed any more.
 * https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/
 */
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { stringify } from 'yaml';
import { openApi } from '#contracts/kubernetes/client/client.ts';
import { type Connection, loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { rest } from '../rest.ts';
import { clientWish } from './request.ts';
import { renew } from './rotate.ts';
import type { CertificateStore } from './store.ts';

/** What bootstrapping needs. */
export interface BootstrapDeps {
  nodeName: string;
  /** The credentials to ask with. */
  bootstrapKubeconfig: string;
  /** Where the kubeconfig is written; used as it is if it is good already. */
  kubeconfig: string;
  store: CertificateStore;
  clock: Clock;
  logger: Logger;
}

/** Milliseconds of the first and the longest pause after a failure. */
const firstPauseMs = 1_000;
const longestPauseMs = 30_000;

/**
 * Makes sure that there is a kubeconfig with a certificate of this node; asks until it gets one.
 *
 * @throws SkiffError INVALID_ARGUMENT for a bootstrap kubeconfig that cannot be used, PERMISSION_DENIED if the
 *   request was denied.
 */
export async function bootstrap(deps: BootstrapDeps, signal: AbortSignal): Promise<void> {
  const { clock, logger, kubeconfig, nodeName, store } = deps;
  if (isGood(deps)) return;
  const connection = loadKubeconfig(deps.bootstrapKubeconfig);
  await using client = openApi(connection);
  const api = { request: <T>(request: Parameters<typeof rest>[1]) => rest<T>(client, request) };
  logger.info({ node: nodeName, server: connection.server }, 'Asking the cluster for a certificate');
  for (let pause = firstPauseMs; ; pause = Math.min(longestPauseMs, pause * 2)) {
    try {
      await renew({ api, clock, store }, clientWish(nodeName), signal);
      break;
    } catch (error) {
      if (signal.aborted || isSkiffError(error, 'PERMISSION_DENIED', 'INVALID_ARGUMENT')) throw error;
      logger.warn({ error: messageOf(error) }, 'Cannot get a certificate');
      await clock.sleep(pause * (1 + 0.1 * Math.random()), signal);
    }
  }
  mkdirSync(dirname(kubeconfig), { recursive: true, mode: 0o755 });
  replaceFileSync(kubeconfig, kubeconfigText(connection, store.currentPath));
}

/** Whether the kubeconfig is there, and its certificate has not ended. */
function isGood({ kubeconfig, clock }: BootstrapDeps): boolean {
  if (!existsSync(kubeconfig)) return false;
  try {
    const { cert, token } = loadKubeconfig(kubeconfig);
    if (cert === undefined) return token !== undefined;
    return Date.parse(new X509Certificate(cert).validTo) > clock.now();
  } catch {
    return false;
  }
}

/** The kubeconfig of a node whose certificate and key are in one file. */
function kubeconfigText({ server, ca, serverName, insecure }: Connection, identity: string): string {
  const cluster = {
    server,
    ...(ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') }),
    ...(serverName === undefined ? {} : { 'tls-server-name': serverName }),
    ...(insecure === true ? { 'insecure-skip-tls-verify': true } : {}),
  };
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'default-cluster', cluster }],
    users: [{ name: 'default-auth', user: { 'client-certificate': identity, 'client-key': identity } }],
    contexts: [{ name: 'default-context', context: { cluster: 'default-cluster', user: 'default-auth' } }],
    'current-context': 'default-context',
  });
}
