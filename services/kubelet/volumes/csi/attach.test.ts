/**
 * A CSI volume that is to be attached, with a whole kubelet: told to be in use, attached, mounted, unmounted, and only
 * then detached. Against a real cluster (SKIFF_TEST_KUBECONFIG) its attach-detach controller decides; here a stand-in
 * does, by the same rules. The driver's own controller, which sets `status.attached`, is a stand-in in both.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import type { KubeObject, Node, PersistentVolumeClaim, Pod } from '#contracts/kubernetes/types.ts';
import { repeat } from '#foundation/base/repeat.ts';
import { systemClock as clock } from '#foundation/base/time.ts';
import {
  type ClusterNode,
  find,
  onClusterNode,
  podOn,
  realCluster,
  remove,
  until,
} from '../../../../test/cluster-node.ts';
import { pluginRoot } from '../../givers.ts';
import { type FakeApiServer, startFakeApi } from '../../testing/api-server.ts';
import { startCsiDriver } from '../../testing/csi-driver.ts';

const attachments = '/apis/storage.k8s.io/v1/volumeattachments';
const claims = '/api/v1/namespaces/default/persistentvolumeclaims';

interface VolumeAttachment extends KubeObject {
  spec: { attacher: string; nodeName: string; source: { persistentVolumeName: string } };
  status?: { attached: boolean; attachmentMetadata?: Record<string, string> };
}

/** What the test's volume is called everywhere. */
function namesOn(nodeName: string) {
  const [driver, handle] = [`csi-${nodeName}.test`, `handle-${nodeName}`];
  const digest = createHash('sha256').update(`${handle}${driver}${nodeName}`).digest('hex');
  return {
    driver,
    handle,
    volume: `pv-${nodeName}`,
    claim: `claim-${nodeName}`,
    pod: `pod-${nodeName}`,
    attachment: `${attachments}/csi-${digest}`,
    unique: `kubernetes.io/csi/${driver}^${handle}`,
  };
}

type Names = ReturnType<typeof namesOn>;

test('a volume is in use before it is attached and mounted, and until it is unmounted', async () => {
  await using stack = new AsyncDisposableStack();
  const fake = realCluster === undefined ? stack.use(await startFakeApi()) : undefined;
  const api = fake === undefined ? undefined : { server: fake.url };
  await onClusterNode(
    async (node) => {
      const names = namesOn(node.nodeName);
      await using inner = new AsyncDisposableStack();
      inner.defer(() => removeObjects(node.admin, names));
      const controller = fake === undefined ? undefined : standIn(fake, node.nodeName, names);
      inner.defer(() => controller?.stop());
      await attachedAndDetached(node, names, inner);
    },
    // What is told in time was told at once.
    { api, configuration: { nodeStatusUpdateFrequency: '5m' } },
  );
});

async function attachedAndDetached(
  node: ClusterNode,
  names: Names,
  stack: AsyncDisposableStack,
): Promise<void> {
  const { admin, paths, nodeName, pods } = node;
  const directory = join(paths.root, 'driver');
  mkdirSync(directory);
  const registry = join(pluginRoot(paths), 'plugins_registry');
  const driver = stack.use(await startCsiDriver({ name: names.driver, directory, registry }));
  await until('the driver is registered', () => driver.calls[0] === 'registered true ');
  driver.calls.splice(0);
  await createObjects(admin, names);
  const volumes = { name: 'v', persistentVolumeClaim: { claimName: names.claim } };
  await admin.create(pods, podOn(nodeName, names.pod, { volumes: [volumes] }));
  const status = async () => (await find<Node>(admin, `/api/v1/nodes/${nodeName}`))?.status;
  const inUse = async () => (await status())?.volumesInUse?.includes(names.unique) === true;
  await until('the volume is in use', inUse);
  await until('the attachment is wanted', async () => (await find(admin, names.attachment)) !== undefined);
  assert.deepEqual(driver.calls, [], 'nothing is mounted before it is attached');
  const attacher = attachWhatIsWanted(admin, names, inUse);
  stack.defer(() => attacher.stop());
  const pod = () => find<Pod>(admin, `${pods}/${names.pod}`);
  await until('the pod runs', async () => (await pod())?.status?.phase === 'Running');
  assert.deepEqual(driver.calls.splice(0), ['stage /dev/test', `publish ${names.pod}`]);
  assert.equal((await status())?.volumesAttached?.[0]?.name, names.unique);

  // By force: the API forgets the pod while the driver still has its volume.
  const gate = Promise.withResolvers<void>();
  driver.mayUnpublish = gate.promise;
  await remove(admin, `${pods}/${names.pod}`);
  await clock.sleep(3000);
  assert.equal(await inUse(), true, 'it is mounted still');
  const attachment = await find<VolumeAttachment>(admin, names.attachment);
  assert.equal(attachment?.status?.attached, true);
  assert.equal(attachment?.metadata.deletionTimestamp, undefined, 'it is not detached below the node');
  gate.resolve();
  await until('the volume is out of use', async () => !(await inUse()));
  assert.deepEqual(driver.calls, ['unpublish', 'unstage']);
  await until('it is detached', async () => (await find(admin, names.attachment)) === undefined);
  assert.deepEqual(attacher.detachedInUse(), false);
  await until(
    'the node has nothing attached',
    async () => ((await status())?.volumesAttached ?? []).length === 0,
  );
}

async function createObjects(admin: ApiClient, { driver, handle, volume, claim }: Names): Promise<void> {
  await admin.create('/apis/storage.k8s.io/v1/csidrivers', {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    metadata: { name: driver },
    spec: { attachRequired: true, podInfoOnMount: true },
  });
  const storage = { accessModes: ['ReadWriteOnce'], storageClassName: '' };
  await admin.create('/api/v1/persistentvolumes', {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: volume },
    spec: {
      ...storage,
      capacity: { storage: '1Gi' },
      persistentVolumeReclaimPolicy: 'Retain',
      claimRef: { namespace: 'default', name: claim },
      csi: { driver, volumeHandle: handle },
    },
  });
  await admin.create(claims, {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: claim, namespace: 'default' },
    spec: { ...storage, volumeName: volume, resources: { requests: { storage: '1Gi' } } },
  });
  const isBound = async () =>
    (await find<PersistentVolumeClaim>(admin, `${claims}/${claim}`))?.status?.phase === 'Bound';
  await until('the claim is bound', isBound);
}

async function removeObjects(admin: ApiClient, { driver, volume, claim, pod }: Names): Promise<void> {
  for (const path of [
    `/api/v1/namespaces/default/pods/${pod}`,
    `${claims}/${claim}`,
    `/api/v1/persistentvolumes/${volume}`,
    `/apis/storage.k8s.io/v1/csidrivers/${driver}`,
  ])
    await remove(admin, path);
}

/** What external-attacher and the driver's controller do: attach what is wanted, detach what is not any more. */
function attachWhatIsWanted(admin: ApiClient, { attachment }: Names, inUse: () => Promise<boolean>) {
  let detachedInUse = false;
  const finalizer = 'external-attacher/test';
  const round = async () => {
    const found = await find<VolumeAttachment>(admin, attachment);
    if (found === undefined) return;
    if (found.metadata.deletionTimestamp !== undefined) {
      detachedInUse ||= await inUse();
      await admin.patch(attachment, 'merge-patch', { metadata: { finalizers: null } });
    } else if (found.status?.attached !== true) {
      await admin.patch(attachment, 'merge-patch', { metadata: { finalizers: [finalizer] } });
      const status = { attached: true, attachmentMetadata: { disk: '/dev/test' } };
      await admin.patch(`${attachment}/status`, 'merge-patch', { status });
    }
  };
  const onError = (error: unknown) => console.error(error);
  const repeating = repeat({ clock, pauseMs: () => 50, round, onError });
  return { ...repeating, detachedInUse: () => detachedInUse };
}

/**
 * The cluster's controllers: claims are bound; what a pod wants is attached, told in the node's status once it is, and
 * detached when no pod wants it and the node does not use it.
 */
function standIn(server: FakeApiServer, nodeName: string, names: Names) {
  const [nodePath, pod] = [`/api/v1/nodes/${nodeName}`, `/api/v1/namespaces/default/pods/${names.pod}`];
  const attached = (list: { name: string; devicePath: string }[]) => {
    const node = server.get<Node>(nodePath);
    const changed = { ...node, status: { ...node?.status, volumesAttached: list } };
    if (node !== undefined) server.put(nodePath, changed as KubeObject);
  };
  const round = async () => {
    bind(server, names);
    const node = server.get<Node>(nodePath);
    const attachment = server.get<VolumeAttachment>(names.attachment);
    const isTold = (node?.status?.volumesAttached ?? []).length > 0;
    if (server.get(pod) !== undefined) {
      if (attachment === undefined) wantAttached(server, nodeName, names);
      else if (attachment.status?.attached === true && !isTold)
        attached([{ name: names.unique, devicePath: '' }]);
    } else if (node?.status?.volumesInUse?.includes(names.unique) !== true && attachment !== undefined) {
      if (isTold) attached([]);
      const { finalizers = [] } = attachment.metadata;
      if (finalizers.length === 0) server.remove(names.attachment);
      else if (attachment.metadata.deletionTimestamp === undefined)
        markDeleted(server, names.attachment, attachment);
    }
  };
  return repeat({ clock, pauseMs: () => 20, round, onError: (error) => console.error(error) });
}

function bind(server: FakeApiServer, { claim, volume }: Names): void {
  const path = `${claims}/${claim}`;
  const found = server.get<PersistentVolumeClaim>(path);
  if (found === undefined || found.status?.phase === 'Bound') return;
  server.put(path, { ...found, status: { phase: 'Bound' } } as KubeObject);
  const { metadata, ...rest } = server.get(`/api/v1/persistentvolumes/${volume}`) as KubeObject & {
    spec: object;
  };
  const claimRef = { namespace: 'default', name: claim, uid: found.metadata.uid };
  server.put(`/api/v1/persistentvolumes/${volume}`, {
    metadata,
    ...rest,
    spec: { ...rest.spec, claimRef },
  } as KubeObject);
}

function wantAttached(server: FakeApiServer, nodeName: string, { attachment, driver, volume }: Names): void {
  const wanted: VolumeAttachment = {
    metadata: { name: attachment.split('/').pop() ?? '' },
    spec: { attacher: driver, nodeName, source: { persistentVolumeName: volume } },
  };
  server.put(attachment, wanted);
}

function markDeleted(server: FakeApiServer, path: string, { metadata, ...rest }: VolumeAttachment): void {
  server.put(path, {
    ...rest,
    metadata: { ...metadata, deletionTimestamp: new Date().toISOString() },
  } as KubeObject);
}
