/** Credentials of a new node in somebody's cluster: asked for and approved with its administrator's kubeconfig. */
import { readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { CertificateSigningRequest, KubeList } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { systemClock } from '#foundation/base/time.ts';
import { bootstrap } from '#services/kubelet/api/certificates/bootstrap.ts';
import { openCertificates } from '#services/kubelet/api/certificates/store.ts';

const requests = '/apis/certificates.k8s.io/v1/certificatesigningrequests';

interface ClusterFile {
  clusters: { cluster: Record<string, unknown> }[];
}

/**
 * @param admin the administrator's kubeconfig.
 * @param url where the node shall reach the API server: a proxy before it.
 * @returns the path of the node's kubeconfig, below `directory`.
 */
export async function joinCluster(
  admin: string,
  url: string,
  directory: string,
  nodeName: string,
): Promise<string> {
  const file = parse(readFileSync(admin, 'utf8')) as ClusterFile;
  for (const { cluster } of file.clusters) {
    const { hostname } = new URL(String(cluster.server));
    // A server's name in TLS is never an address.
    if (isIP(hostname) === 0) cluster['tls-server-name'] ??= hostname;
    cluster.server = url;
  }
  const bootstrapKubeconfig = join(directory, `${nodeName}-bootstrap.kubeconfig`);
  writeFileSync(bootstrapKubeconfig, stringify(file), { mode: 0o600 });
  const kubeconfig = join(directory, `${nodeName}.kubeconfig`);
  const store = openCertificates(join(directory, `${nodeName}-pki`), 'kubelet-client');
  const done = new AbortController();
  const asking = bootstrap(
    { nodeName, bootstrapKubeconfig, kubeconfig, store, clock: systemClock, logger: silentLogger },
    done.signal,
  ).finally(() => done.abort());
  await Promise.all([asking, approve(admin, `system:node:${nodeName}`, done.signal)]);
  return kubeconfig;
}

/** Approves what waits for the node until it has its certificate. The request itself tells the subject only in its CSR. */
async function approve(admin: string, node: string, done: AbortSignal): Promise<void> {
  await using client = openApi(loadKubeconfig(admin));
  const { items: before } = await client.get<KubeList<CertificateSigningRequest>>(requests);
  const old = new Set(before.map(({ metadata }) => metadata.uid));
  while (!done.aborted) {
    const { items } = await client.get<KubeList<CertificateSigningRequest>>(requests);
    for (const item of items.filter(({ metadata }) => !old.has(metadata.uid))) {
      if (item.status?.conditions !== undefined) continue;
      const message = `the bench joins ${node}`;
      item.status = { conditions: [{ type: 'Approved', status: 'True', reason: 'Bench', message }] };
      await client.update(`${requests}/${item.metadata.name}/approval`, item).catch((error: unknown) => {
        // The cluster's own controllers write there, too: the next look approves what they left.
        if (!isSkiffError(error, 'ABORTED')) throw error;
      });
    }
    await sleep(200);
  }
}
