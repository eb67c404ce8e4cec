/**
 * The whole kubelet with Debian's containerd below it and the embedded API above it; or the API server of another
 * cluster, whose administrator's kubeconfig SKIFF_TEST_KUBECONFIG names: there the node bootstraps itself.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ApiClient, openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { CoreEvent, KubeList, Lease, Node, Pod } from '#contracts/kubernetes/types.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { createKubeApi } from '#services/kube-api/index.ts';
import { testApiConfig } from '#services/kube-api/testing/config.ts';
import { bootstrapNode, find, realCluster, until } from '../../test/cluster-node.ts';
import { containerdInstalled, startContainerd } from '../../test/peers/containerd.ts';
import { connectKubeletApi } from './api/connect.ts';
import { loadConfiguration } from './configuration/load.ts';
import { createKubelet } from './kubelet.ts';
import { endKubelet } from './testing/end-kubelet.ts';
import { quietKubelet } from './testing/quiet.ts';

const skip = containerdInstalled ? false : 'needs Debian package containerd';
const logger = process.env.VERBOSE === undefined ? silentLogger : createLogger('info');
const clock = systemClock;

async function joined(work: (admin: ApiClient) => Promise<void>): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync('/tmp/skiff-join-');
  stack.defer(() => {
    unmountTree(root);
    rmSync(root, { recursive: true, force: true });
  });
  const peer = stack.use(await startContainerd(73));
  const cluster = realCluster;
  const { adminKubeconfig, nodeKubeconfig } =
    cluster === undefined
      ? await embedded(root, stack)
      : { adminKubeconfig: cluster, nodeKubeconfig: await bootstrapNode(cluster, root, 'node1') };
  const kubelet = createKubelet({
    paths: pathsUnder(root),
    cri: peer.cri,
    configuration: loadConfiguration({ overrides: quietKubelet }),
    api: connectKubeletApi(nodeKubeconfig, { nodeName: 'node1', clock, logger }),
    clock,
    logger,
    nodeName: 'node1',
  });
  await kubelet.start();
  stack.defer(() => endKubelet(kubelet));
  const admin = stack.use(openApi(loadKubeconfig(adminKubeconfig)));
  await work(admin);
}

interface Kubeconfigs {
  adminKubeconfig: string;
  nodeKubeconfig: string;
}

async function embedded(root: string, stack: AsyncDisposableStack): Promise<Kubeconfigs> {
  const api = createKubeApi({ ...testApiConfig(join(root, 'api'), 'node1'), logger });
  await api.start();
  stack.defer(() => api.stop());
  return { adminKubeconfig: api.adminKubeconfigPath, nodeKubeconfig: api.nodeKubeconfigPath };
}

const pods = '/api/v1/namespaces/default/pods';

test('node, pod, configMap, events, deletion', { skip }, async () => {
  await joined(async (admin) => {
    await until('the node is ready', async () => {
      const node = await find<Node>(admin, '/api/v1/nodes/node1');
      return (
        node?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true
      );
    });
    const lease = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node1';
    await until('the lease', async () => {
      return (await find<Lease>(admin, lease))?.spec?.holderIdentity === 'node1';
    });
    await admin.create('/api/v1/namespaces/default/configmaps', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'words' },
      data: { greeting: 'hello' },
    });
    const image = 'skiff.test/busybox:1';
    await admin.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web' },
      spec: {
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 1,
        volumes: [{ name: 'words', configMap: { name: 'words' } }],
        containers: [
          {
            name: 'main',
            image,
            imagePullPolicy: 'IfNotPresent',
            command: [
              'sh',
              '-c',
              'cat /words/greeting > /dev/termination-log; [ "$GREETING" = hello ] && sleep 1000',
            ],
            env: [{ name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'words', key: 'greeting' } } }],
            volumeMounts: [{ name: 'words', mountPath: '/words' }],
          },
        ],
      },
    });
    const web = () => find<Pod>(admin, `${pods}/web`);
    await until('the pod is ready', async () => {
      const status = (await web())?.status;
      return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
    });
    const status = (await web())?.status;
    assert.equal(status?.phase, 'Running');
    assert.match(status?.podIP ?? '', /^10\.99\.73\./);
    assert.ok(status?.hostIP);
    await until('its events', async () => {
      const { items } = await admin.get<KubeList<CoreEvent>>('/api/v1/namespaces/default/events');
      const reasons = items.map(({ reason }) => reason);
      return ['Pulled', 'Created', 'Started'].every((reason) => reasons.includes(reason));
    });
    await admin.delete(`${pods}/web`);
    await until('the pod is gone', async () => (await web()) === undefined);
  });
});
