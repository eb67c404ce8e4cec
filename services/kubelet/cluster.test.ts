/**
 * A whole kubelet in a cluster: below the embedded API, or in the cluster of SKIFF_TEST_KUBECONFIG
 * (`test/cluster-node.ts`), where the same must hold.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { CoreEvent, KubeList, Lease, Node, Pod, TokenReview } from '#contracts/kubernetes/types.ts';
import {
  type ClusterNode,
  find,
  isReady,
  onClusterNode,
  podOn,
  remove,
  until,
} from '../../test/cluster-node.ts';
import { logindPossible, withLogind } from '../../test/peers/logind.ts';

const configuration = { syncFrequency: '1s', fileCheckFrequency: '1s' };

const podAt = ({ admin, pods }: ClusterNode, name: string) => find<Pod>(admin, `${pods}/${name}`);
const nodeOf = ({ admin, nodeName }: ClusterNode) => find<Node>(admin, `/api/v1/nodes/${nodeName}`);

/** Creates a pod on the node and waits until it runs. @returns it as it is then. */
async function run(node: ClusterNode, name: string, spec: Partial<Pod['spec']> = {}): Promise<Pod> {
  await node.admin.create(node.pods, podOn(node.nodeName, name, spec));
  await until(`${name} is ready`, async () => isReady(await podAt(node, name)));
  return (await podAt(node, name)) as Pod;
}

/** A file of a pod's volume. */
function fileOf({ paths }: ClusterNode, pod: Pod, plugin: string, volume: string, file: string): string {
  const directory = join(paths.kubelet, 'pods', pod.metadata.uid ?? '', 'volumes', `kubernetes.io~${plugin}`);
  const path = join(directory, volume, file);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

async function registration(node: ClusterNode): Promise<void> {
  const { metadata, status } = (await nodeOf(node)) as Node;
  assert.equal(metadata.labels?.['kubernetes.io/hostname'], node.nodeName);
  assert.equal(metadata.labels?.['kubernetes.io/os'], 'linux');
  assert.equal(metadata.annotations?.['volumes.kubernetes.io/controller-managed-attach-detach'], 'true');
  for (const resource of ['cpu', 'memory', 'pods', 'ephemeral-storage'])
    assert.ok(status?.capacity?.[resource] && status.allocatable?.[resource], resource);
  assert.deepEqual(
    status?.addresses
      ?.map(({ type }) => type)
      .toSorted()
      .at(0),
    'Hostname',
  );
  assert.match(status?.nodeInfo?.kubeletVersion ?? '', /^v1\./);
  const words = status?.conditions?.map(({ type, status: is, reason }) => `${type} ${is} ${reason}`);
  assert.deepEqual(
    words?.filter((each) => !each.startsWith('Network')),
    [
      'MemoryPressure False KubeletHasSufficientMemory',
      'DiskPressure False KubeletHasNoDiskPressure',
      'PIDPressure False KubeletHasSufficientPID',
      'Ready True KubeletReady',
    ],
  );
  const lease = `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${node.nodeName}`;
  await until('the lease', async () => {
    const found = await find<Lease>(node.admin, lease);
    return (
      found?.spec?.holderIdentity === node.nodeName &&
      found.metadata.ownerReferences?.[0]?.uid === metadata.uid
    );
  });
}

async function mirrorPod(node: ClusterNode): Promise<void> {
  const manifest = join(node.manifests, 'static.json');
  const spec = { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'i:1' }] };
  writeFileSync(
    manifest,
    JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'static' }, spec }),
  );
  const name = `static-${node.nodeName}`;
  await until('the mirror pod is ready', async () => isReady(await podAt(node, name)));
  const mirror = (await podAt(node, name)) as Pod;
  assert.equal(mirror.metadata.annotations?.['kubernetes.io/config.source'], 'file');
  assert.equal(
    mirror.metadata.annotations?.['kubernetes.io/config.mirror'],
    mirror.metadata.annotations?.['kubernetes.io/config.hash'],
  );
  assert.equal(mirror.metadata.ownerReferences?.[0]?.kind, 'Node');
  await remove(node.admin, `${node.pods}/${name}`);
  await until('it is made again', async () => {
    const again = await podAt(node, name);
    return isReady(again) && again?.metadata.uid !== mirror.metadata.uid;
  });
  assert.equal(node.runtime.created('static'), 0);
  assert.equal(node.runtime.created(name), 1, 'the containers have not noticed');
  rmSync(manifest);
  await until('it goes with its manifest', async () => (await podAt(node, name)) === undefined);
}

async function contents(node: ClusterNode): Promise<void> {
  const { admin, nodeName } = node;
  const namespace = '/api/v1/namespaces/default';
  const [map, secret] = [`words-${nodeName}`, `key-${nodeName}`];
  await admin.create(`${namespace}/configmaps`, { metadata: { name: map }, data: { word: 'one' } });
  await admin.create(`${namespace}/secrets`, { metadata: { name: secret }, stringData: { key: 's1' } });
  const pod = await run(node, `reads-${nodeName}`, {
    volumes: [
      { name: 'words', configMap: { name: map } },
      { name: 'keys', secret: { secretName: secret } },
    ],
  });
  assert.equal(fileOf(node, pod, 'configmap', 'words', 'word'), 'one');
  assert.equal(fileOf(node, pod, 'secret', 'keys', 'key'), 's1');
  await admin.patch(`${namespace}/configmaps/${map}`, 'merge-patch', { data: { word: 'two' } });
  await admin.patch(`${namespace}/secrets/${secret}`, 'merge-patch', { stringData: { key: 's2' } });
  await until('the new word', () => fileOf(node, pod, 'configmap', 'words', 'word') === 'two');
  await until('the new key', () => fileOf(node, pod, 'secret', 'keys', 'key') === 's2');
  await remove(admin, `${namespace}/configmaps/${map}`);
  await remove(admin, `${namespace}/secrets/${secret}`);
}

async function token(node: ClusterNode): Promise<void> {
  const pod = await run(node, `token-${node.nodeName}`, { automountServiceAccountToken: true });
  const volume = pod.spec.volumes?.find(({ projected }) => projected !== undefined)?.name ?? '';
  const text = fileOf(node, pod, 'projected', volume, 'token');
  assert.match(fileOf(node, pod, 'projected', volume, 'ca.crt'), /BEGIN CERTIFICATE/);
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: text } };
  const { status } = await node.admin.create<TokenReview>(
    '/apis/authentication.k8s.io/v1/tokenreviews',
    review,
  );
  assert.equal(status?.user?.username, 'system:serviceaccount:default:default');
  assert.deepEqual(status?.user?.extra?.['authentication.kubernetes.io/pod-uid'], [pod.metadata.uid]);
}

async function deletion(node: ClusterNode): Promise<void> {
  const name = `goes-${node.nodeName}`;
  await run(node, name);
  const path = `${node.pods}/${name}`;
  await node.admin.patch(path, 'merge-patch', { metadata: { finalizers: ['test.example/held'] } });
  await node.admin.delete(path);
  await until('its container has ended', async () => {
    const pod = await podAt(node, name);
    return pod?.status?.containerStatuses?.[0]?.state?.terminated !== undefined;
  });
  assert.ok((await podAt(node, name))?.metadata.deletionTimestamp, 'the finalizer keeps it');
  await node.admin.patch(path, 'merge-patch', { metadata: { finalizers: null } });
  await until('it is gone', async () => (await podAt(node, name)) === undefined);
}

async function terminalState(node: ClusterNode): Promise<void> {
  const name = `ends-${node.nodeName}`;
  await run(node, name, { restartPolicy: 'Never' });
  node.runtime.end(name);
  await until('it has succeeded', async () => (await podAt(node, name))?.status?.phase === 'Succeeded');
  const { metadata } = (await podAt(node, name)) as Pod;
  await node.admin.patch(`${node.pods}/${name}`, 'merge-patch', { metadata: { labels: { touched: 'yes' } } });
  await until('a later sync', async () => (await podAt(node, name))?.metadata.labels?.touched === 'yes');
  const after = (await podAt(node, name)) as Pod;
  assert.deepEqual([after.status?.phase, after.metadata.uid], ['Succeeded', metadata.uid]);
  assert.equal(node.runtime.created(name), 1);
}

suite('a kubelet in a cluster', () => {
  test('registration, mirror pods, contents, tokens, deletion, terminal states', async (t) => {
    await onClusterNode(
      async (node) => {
        await t.test('it registers, with a lease', () => registration(node));
        await t.test('a static pod has a mirror', () => mirrorPod(node));
        await t.test('configMaps and secrets follow the API', () => contents(node));
        await t.test("a token of the pod's account", () => token(node));
        await t.test('a pod is gone when its containers are, and its finalizers', () => deletion(node));
        await t.test('a pod that has ended stays so', () => terminalState(node));
      },
      { configuration },
    );
  });

  const skip = logindPossible ? false : 'needs dbus and systemd';
  test('the machine shuts down: pods end, the node says so, takes no more; and is called off', {
    skip,
  }, async () => {
    await withLogind(async ({ isHeld, tell }) => {
      const periods = {
        shutdownGracePeriod: '20s',
        shutdownGracePeriodCriticalPods: '5s',
        // What is told in time was told at once.
        nodeStatusUpdateFrequency: '5m',
      };
      await onClusterNode((node) => shutdown(node, isHeld, tell), {
        configuration: { ...configuration, ...periods },
      });
    });
  });
});

async function shutdown(
  node: ClusterNode,
  isHeld: () => boolean,
  tell: (starting: boolean) => void,
): Promise<void> {
  const { admin, nodeName } = node;
  const why = 'Pod was terminated in response to imminent node shutdown.';
  const names = [`plain-${nodeName}`, `once-${nodeName}`];
  await run(node, names[0] ?? '');
  await run(node, names[1] ?? '', { restartPolicy: 'Never' });
  await until('the shutdown is delayed', isHeld);
  const { shutdown: going } = node.kubelet.services;
  await until('the kubelet heard of it', () => {
    // Its monitor may not listen yet.
    if (!going.begun()) tell(true);
    return going.begun();
  });
  const ready = async () => (await nodeOf(node))?.status?.conditions?.find(({ type }) => type === 'Ready');
  await until('the node says so', async () => (await ready())?.status === 'False');
  assert.deepEqual(
    [(await ready())?.reason, (await ready())?.message],
    ['KubeletNotReady', 'node is shutting down'],
  );
  await until('the machine may go', () => !isHeld());
  for (const name of names) {
    await until(`${name} has failed`, async () => (await podAt(node, name))?.status?.phase === 'Failed');
    const status = (await podAt(node, name))?.status;
    assert.deepEqual([status?.reason, status?.message], ['Terminated', why]);
    const target = status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
    assert.deepEqual(
      [target?.status, target?.reason, target?.message],
      ['True', 'TerminationByKubelet', why],
    );
  }
  const late = `late-${nodeName}`;
  await admin.create(node.pods, podOn(nodeName, late));
  await until('a new pod is refused', async () => (await podAt(node, late))?.status?.phase === 'Failed');
  const refused = (await podAt(node, late))?.status;
  assert.equal(refused?.reason, 'NodeShutdown');
  assert.match(refused?.message ?? '', /Pod was rejected as the node is shutting down\.$/);
  tell(false);
  await until('the node is ready again', async () => (await ready())?.status === 'True');
  await until('the next shutdown is delayed', isHeld);
  await until('events of both', async () => {
    const query = { fieldSelector: `involvedObject.name=${nodeName},reason=NodeShutdown` };
    const { items } = await admin.get<KubeList<CoreEvent>>('/api/v1/events', { query });
    const told = items.map(({ message }) => message).toSorted();
    return (
      told.join() ===
      'Shutdown manager detected shutdown cancellation,Shutdown manager detected shutdown event'
    );
  });
}
