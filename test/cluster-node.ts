/**
 * A whole kubelet in a cluster, for tests: over a runtime in memory, and below the API that a test names, or that of
 * another cluster, whose administrator's kubeconfig SKIFF_TEST_KUBECONFIG names: there the node bootstraps itself.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { connectCri } from '#contracts/cri/client.ts';
import { type ApiClient, openApi } from '#contracts/kubernetes/client/client.ts';
import { type Connection, loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { CertificateSigningRequest, KubeList, Node, Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { type Paths, pathsUnder } from '#foundation/base/paths.ts';
import { systemClock as clock } from '#foundation/base/time.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { createKubeApi } from '#services/kube-api/index.ts';
import { testApiConfig } from '#services/kube-api/testing/config.ts';
import { bootstrap } from '#services/kubelet/api/certificates/bootstrap.ts';
import { openCertificates } from '#services/kubelet/api/certificates/store.ts';
import { connectKubeletApi } from '#services/kubelet/api/connect.ts';
import type { KubeletConfiguration } from '#services/kubelet/configuration/defaults.ts';
import { loadConfiguration } from '#services/kubelet/configuration/load.ts';
import { createKubelet, type Kubelet } from '#services/kubelet/kubelet.ts';
import { endKubelet } from '#services/kubelet/testing/end-kubelet.ts';
import { quietKubelet } from '#services/kubelet/testing/quiet.ts';
import { type ScriptedRuntime, startScriptedRuntime } from '#services/kubelet/testing/scripted-runtime.ts';

const logger = process.env.VERBOSE === undefined ? silentLogger : createLogger('info');

/** The administrator's kubeconfig of a real cluster to test in. */
export const realCluster = process.env.SKIFF_TEST_KUBECONFIG;

/** A kubelet that has joined. */
export interface ClusterNode {
  /** As the cluster's administrator. */
  admin: ApiClient;
  kubelet: Kubelet;
  runtime: ScriptedRuntime;
  /** Its own: several tests may use one cluster. */
  nodeName: string;
  /** Where static pods' manifests go. */
  manifests: string;
  paths: Paths;
  /** The pods of a namespace. */
  pods: string;
}

/** How a node is to be. */
export interface ClusterNodeOptions {
  configuration?: Partial<KubeletConfiguration>;
  /** Where there is no real cluster; the embedded API unless told. */
  api?: Connection;
}

/** Runs `work` with a node that has joined and is ready; nothing of it is left. */
export async function onClusterNode(
  work: (node: ClusterNode) => Promise<void>,
  { configuration = {}, api }: ClusterNodeOptions = {},
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const outer = mkdtempSync('/tmp/skiff-cn-');
  stack.defer(() => {
    unmountTree(outer);
    rmSync(outer, { recursive: true, force: true });
  });
  const nodeName = `test-${randomBytes(3).toString('hex')}`;
  const [root, manifests] = [join(outer, 'root'), join(outer, 'manifests')];
  for (const directory of [root, manifests]) mkdirSync(directory);
  const socket = join(outer, 'cri.sock');
  const runtime = stack.use(await startScriptedRuntime(socket));
  const { admin: adminConnection, node } = await connections(stack, outer, nodeName, api);
  const admin = stack.use(openApi(adminConnection));
  stack.defer(() => forget(admin, nodeName));
  const paths = pathsUnder(root);
  const overrides = { ...quietKubelet, staticPodPath: manifests, ...configuration };
  const kubelet = createKubelet({
    paths,
    cri: stack.use(connectCri(socket)),
    configuration: loadConfiguration({ overrides }),
    api: connectKubeletApi(node, { nodeName, clock, logger }),
    clock,
    logger,
    nodeName,
  });
  await kubelet.start();
  stack.defer(() => endKubelet(kubelet));
  const pods = '/api/v1/namespaces/default/pods';
  await until('the node is ready', async () => isReady(await find<Node>(admin, `/api/v1/nodes/${nodeName}`)));
  await work({ admin, kubelet, runtime, nodeName, manifests, paths, pods });
}

/** Whether an object has the condition Ready. */
export function isReady(object: Node | Pod | undefined): boolean {
  const conditions = object?.status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

/** An object, or undefined if it is not there. */
export async function find<T>(admin: ApiClient, path: string): Promise<T | undefined> {
  try {
    return await admin.get<T>(path);
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/** Waits until it holds. @throws Error naming what did not come about. */
export async function until(
  what: string,
  check: () => Promise<boolean | undefined> | boolean | undefined,
  ms = 60_000,
): Promise<void> {
  for (const end = performance.now() + ms; (await check()) !== true; await wait(30))
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
}

/** A pod for one node, which a cluster's taints do not keep away. */
export function podOn(nodeName: string, name: string, spec: Partial<Pod['spec']> = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: {
      nodeName,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      tolerations: [{ operator: 'Exists' }],
      containers: [{ name: 'main', image: 'i:1', imagePullPolicy: 'IfNotPresent' }],
      ...spec,
    },
  };
}

interface Connections {
  admin: Connection;
  node: string | Connection;
}

async function connections(
  stack: AsyncDisposableStack,
  directory: string,
  nodeName: string,
  given: Connection | undefined,
): Promise<Connections> {
  if (realCluster !== undefined) {
    const node = await bootstrapNode(realCluster, directory, nodeName);
    return { admin: loadKubeconfig(realCluster), node };
  }
  if (given !== undefined) return { admin: given, node: given };
  const api = createKubeApi({ ...testApiConfig(join(directory, 'api'), nodeName), logger });
  await api.start();
  stack.defer(() => api.stop());
  return { admin: loadKubeconfig(api.adminKubeconfigPath), node: api.nodeKubeconfigPath };
}

/**
 * A certificate of the cluster for a node: asked for, and approved, with the administrator's kubeconfig.
 *
 * @returns the path of the node's kubeconfig.
 */
export async function bootstrapNode(
  bootstrapKubeconfig: string,
  directory: string,
  nodeName: string,
): Promise<string> {
  const kubeconfig = join(directory, 'node.kubeconfig');
  const store = openCertificates(join(directory, 'pki'), 'kubelet-client');
  await using admin = openApi(loadKubeconfig(bootstrapKubeconfig));
  const path = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
  const list = async () => (await admin.get<KubeList<CertificateSigningRequest>>(path)).items;
  const before = new Set((await list()).map(({ metadata }) => metadata.uid));
  const done = new AbortController();
  const asking = bootstrap({ nodeName, bootstrapKubeconfig, kubeconfig, store, clock, logger }, done.signal);
  const ended = asking.finally(() => done.abort());
  await until('a certificate', async () => {
    for (const request of (await list()).filter(({ metadata }) => !before.has(metadata.uid)))
      await approve(admin, path, request);
    return done.signal.aborted;
  });
  await ended;
  return kubeconfig;
}

async function approve(admin: ApiClient, path: string, request: CertificateSigningRequest): Promise<void> {
  if (request.status?.conditions !== undefined) return;
  request.status = { conditions: [{ type: 'Approved', status: 'True', reason: 'Test', message: 'a test' }] };
  await admin.update(`${path}/${request.metadata.name}/approval`, request).catch((error: unknown) => {
    // The cluster's own controllers write there, too.
    if (!isSkiffError(error, 'ABORTED')) throw error;
  });
}

/** Takes a node and its pods out of the cluster, by force. */
async function forget(admin: ApiClient, nodeName: string): Promise<void> {
  const query = { fieldSelector: `spec.nodeName=${nodeName}` };
  const { items } = await admin.get<KubeList<Pod>>('/api/v1/pods', { query });
  for (const { metadata } of items)
    await remove(admin, `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`);
  await remove(admin, `/api/v1/nodes/${nodeName}`);
}

/** Deletes an object at once, if it is there. */
export async function remove(admin: ApiClient, path: string): Promise<void> {
  await admin.delete(path, { gracePeriodSeconds: 0 }).catch((error: unknown) => {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
  });
}
