/** In-place resize (KEP-1287) of real pods: Skiff's kubelet, CRI server and embedded API. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { CriClient } from '#contracts/cri/client.ts';
import { type ApiClient, openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { CoreEvent, KubeList, Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { cgroupDirectory, cgroupLayout } from '#foundation/linux/cgroups.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { createKubeApi } from '#services/kube-api/index.ts';
import { testApiConfig } from '#services/kube-api/testing/config.ts';
import { startSkiffRuntime } from '../../test/peers/tested-runtime.ts';
import { connectKubeletApi } from './api/connect.ts';
import { loadConfiguration } from './configuration/load.ts';
import { createKubelet, type Kubelet } from './kubelet.ts';
import { endKubelet } from './testing/end-kubelet.ts';
import { quietKubelet } from './testing/quiet.ts';

const logger = process.env.VERBOSE === undefined ? silentLogger : createLogger('info');
const clock = systemClock;
const pods = '/api/v1/namespaces/default/pods';
const Mi = 2 ** 20;

interface Stage {
  admin: ApiClient;
  image: string;
  cri: CriClient;
  kubelet: () => Kubelet;
  /** Stops the kubelet as a crash would, and begins another. */
  restart: () => Promise<void>;
}

async function staged(work: (stage: Stage) => Promise<void>): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync('/tmp/skiff-size-');
  stack.defer(() => {
    unmountTree(root);
    rmSync(root, { recursive: true, force: true });
  });
  const { cri, image } = stack.use(await startSkiffRuntime());
  const api = createKubeApi({ ...testApiConfig(join(root, 'api'), 'node1'), logger });
  await api.start();
  stack.defer(() => api.stop());
  const begin = async () => {
    const kubelet = createKubelet({
      paths: pathsUnder(root),
      cri,
      configuration: loadConfiguration({ overrides: quietKubelet }),
      api: connectKubeletApi(api.nodeKubeconfigPath, { nodeName: 'node1', clock, logger }),
      clock,
      logger,
      nodeName: 'node1',
    });
    await kubelet.start();
    return kubelet;
  };
  let kubelet = await begin();
  stack.defer(() => endKubelet(kubelet));
  const admin = stack.use(openApi(loadKubeconfig(api.adminKubeconfigPath)));
  const restart = async () => {
    await kubelet.stop();
    kubelet = await begin();
  };
  await work({ admin, cri, image, kubelet: () => kubelet, restart });
  const { items } = await admin.get<KubeList<Pod>>(pods);
  for (const { metadata } of items) await end(admin, metadata.name);
}

async function until<T>(what: string, look: () => Promise<T | undefined | false>, ms = 120_000): Promise<T> {
  for (const end = performance.now() + ms; performance.now() < end; await wait(30)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`not within ${ms} ms: ${what}`);
}

async function find(admin: ApiClient, name: string): Promise<Pod | undefined> {
  try {
    return await admin.get<Pod>(`${pods}/${name}`);
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

async function end(admin: ApiClient, name: string): Promise<void> {
  await admin.delete(`${pods}/${name}`, { gracePeriodSeconds: 0 });
  await until(`${name} is gone`, async () => (await find(admin, name)) === undefined);
}

const amounts = (cpu: string, memory: string): ResourceRequirements => ({
  requests: { cpu, memory },
  limits: { cpu, memory },
});

async function start(
  admin: ApiClient,
  name: string,
  containers: object[],
  more: Partial<Pod['spec']> = {},
): Promise<Pod> {
  await admin.create(pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { automountServiceAccountToken: false, terminationGracePeriodSeconds: 0, containers, ...more },
  });
  return until(`${name} runs`, async () => {
    const pod = await find(admin, name);
    return pod?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') && pod;
  });
}

const resize = (admin: ApiClient, name: string, container: string, resources: ResourceRequirements) =>
  admin.patch(`${pods}/${name}/resize`, 'strategic-merge-patch', {
    spec: { containers: [{ name: container, resources }] },
  });

const statusOf = (pod: Pod | undefined, container: string) =>
  pod?.status?.containerStatuses?.find(({ name }) => name === container);
const conditionOf = (pod: Pod | undefined, type: string) =>
  pod?.status?.conditions?.find((each) => each.type === type);
const isSettled = (pod: Pod | undefined) =>
  conditionOf(pod, 'PodResizePending') === undefined && conditionOf(pod, 'PodResizeInProgress') === undefined;

/** Waits until a container's status shows what it was given, and nothing of the resize is left to do. */
async function settled(admin: ApiClient, name: string, container: string, wanted: ResourceRequirements) {
  return until(`${container} has ${JSON.stringify(wanted.limits)}`, async () => {
    const pod = await find(admin, name);
    const { resources, allocatedResources } = statusOf(pod, container) ?? {};
    const same =
      resources?.limits?.memory === wanted.limits?.memory &&
      resources?.limits?.cpu === wanted.limits?.cpu &&
      allocatedResources?.cpu === wanted.requests?.cpu;
    return same && isSettled(pod) && pod;
  });
}

/** The memory limit and the CPU quota of a pod's cgroup. */
function groupOf(kubelet: Kubelet, pod: Pod): { memory: number; quota: number } {
  const layout = cgroupLayout();
  const path = kubelet.parts.podCgroup(pod);
  const read = (controller: string, v1: string, v2: string) => {
    const directory = cgroupDirectory(layout, controller, path) ?? '';
    const text = readFileSync(join(directory, layout.mode === 'unified' ? v2 : v1), 'utf8');
    return Number(text.trim().split(' ')[0]);
  };
  return {
    memory: read('memory', 'memory.limit_in_bytes', 'memory.max'),
    quota: read('cpu', 'cpu.cfs_quota_us', 'cpu.max'),
  };
}

async function reasons(admin: ApiClient): Promise<string[]> {
  const { items } = await admin.get<KubeList<CoreEvent>>('/api/v1/namespaces/default/events');
  return items.map(({ reason = '' }) => reason);
}

const sleeper = (name: string, image: string, resources: ResourceRequirements, more: object = {}) => ({
  name,
  image,
  command: ['sleep', '1000'],
  resources,
  ...more,
});

async function growsAndShrinks({ admin, image, kubelet }: Stage): Promise<void> {
  const policy = { resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }] };
  const before = await start(admin, 'web', [
    sleeper('free', image, amounts('100m', '64Mi')),
    sleeper('strict', image, amounts('100m', '64Mi'), policy),
  ]);
  const id = statusOf(before, 'free')?.containerID;
  assert.deepEqual(groupOf(kubelet(), before), { memory: 128 * Mi, quota: 20_000 });
  await resize(admin, 'web', 'free', amounts('300m', '128Mi'));
  const grown = await settled(admin, 'web', 'free', amounts('300m', '128Mi'));
  assert.equal(statusOf(grown, 'free')?.containerID, id, 'in place');
  assert.equal(statusOf(grown, 'free')?.restartCount, 0);
  assert.deepEqual(groupOf(kubelet(), grown), { memory: 192 * Mi, quota: 40_000 });
  await resize(admin, 'web', 'free', amounts('50m', '32Mi'));
  const shrunk = await settled(admin, 'web', 'free', amounts('50m', '32Mi'));
  assert.equal(statusOf(shrunk, 'free')?.containerID, id, 'in place');
  assert.deepEqual(groupOf(kubelet(), shrunk), { memory: 96 * Mi, quota: 15_000 });
  await resize(admin, 'web', 'strict', amounts('100m', '96Mi'));
  const restarted = await until('the strict one is restarted', async () => {
    const pod = await settled(admin, 'web', 'strict', amounts('100m', '96Mi'));
    return statusOf(pod, 'strict')?.restartCount === 1 && statusOf(pod, 'strict')?.ready && pod;
  });
  assert.equal(statusOf(restarted, 'free')?.containerID, id, 'only the one that asked for it');
  assert.deepEqual(groupOf(kubelet(), restarted), { memory: 128 * Mi, quota: 15_000 });
  await until('events tell of it', async () => {
    const said = await reasons(admin);
    return said.includes('ResizeStarted') && said.includes('ResizeCompleted');
  });
}

/** What the kernel lets a container have, whatever its pod may. */
async function memoryLimitIn(cri: CriClient, pod: Pod, container: string): Promise<number> {
  const [, containerId = ''] = statusOf(pod, container)?.containerID?.split('://') ?? [];
  const files = '/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes';
  const cmd = ['sh', '-c', `cat ${files} 2> /dev/null`];
  const { stdout } = await cri.runtime.execSync({ containerId, cmd, timeout: 20n });
  return Number(Buffer.from(stdout).toString().trim());
}

async function resizesThePodAsAWhole({ admin, cri, image, kubelet }: Stage): Promise<void> {
  const plain = (name: string) => ({ name, image, command: ['sleep', '1000'] });
  const own = { ...plain('own'), resources: { limits: { memory: '32Mi' } } };
  const before = await start(admin, 'whole', [plain('free'), own], { resources: amounts('200m', '128Mi') });
  const ids = before.status?.containerStatuses?.map(({ containerID }) => containerID);
  assert.deepEqual(groupOf(kubelet(), before), { memory: 128 * Mi, quota: 20_000 });
  assert.deepEqual(before.status?.resources, amounts('200m', '128Mi'));
  for (const wanted of [amounts('300m', '192Mi'), amounts('100m', '64Mi')]) {
    await admin.patch(`${pods}/whole/resize`, 'strategic-merge-patch', { spec: { resources: wanted } });
    const now = await until(`the pod has ${JSON.stringify(wanted.limits)}`, async () => {
      const pod = await find(admin, 'whole');
      return pod?.status?.resources?.limits?.memory === wanted.limits?.memory && isSettled(pod) && pod;
    });
    assert.deepEqual(now.status?.resources, wanted);
    assert.deepEqual(now.status?.allocatedResources, wanted.requests);
    const memory = Number.parseInt(wanted.limits?.memory ?? '', 10) * Mi;
    const quota = Number.parseInt(wanted.limits?.cpu ?? '', 10) * 100;
    assert.deepEqual(groupOf(kubelet(), now), { memory, quota });
    assert.equal(await memoryLimitIn(cri, now, 'free'), memory, 'who has no limit has the pod’s');
    assert.equal(await memoryLimitIn(cri, now, 'own'), 32 * Mi);
    assert.deepEqual(
      now.status?.containerStatuses?.map(({ containerID }) => containerID),
      ids,
      'in place',
    );
  }
}

async function refusesBelowUsage({ admin, image }: Stage): Promise<void> {
  const command = ['sh', '-c', 'dd if=/dev/zero of=/dev/shm/f bs=1048576 count=48; exec sleep 1000'];
  await start(admin, 'full', [
    { name: 'c', image, command, resources: amounts('50m', '128Mi'), readinessProbe: filled },
  ]);
  await resize(admin, 'full', 'c', amounts('50m', '16Mi'));
  const held = await until('the error is told', async () => {
    const pod = await find(admin, 'full');
    return conditionOf(pod, 'PodResizeInProgress')?.reason === 'Error' && pod;
  });
  assert.match(
    conditionOf(held, 'PodResizeInProgress')?.message ?? '',
    /memory limit 16Mi is below what is in use/,
  );
  assert.equal(statusOf(held, 'c')?.resources?.limits?.memory, '128Mi', 'what is in force');
  assert.equal(statusOf(held, 'c')?.restartCount, 0);
  await resize(admin, 'full', 'c', amounts('50m', '96Mi'));
  await settled(admin, 'full', 'c', amounts('50m', '96Mi'));
}

const filled = {
  exec: { command: ['sh', '-c', 'test $(stat -c %s /dev/shm/f) -ge 50331648'] },
  periodSeconds: 1,
};

async function waitsForRoom({ admin, image, restart, kubelet }: Stage): Promise<void> {
  const cpus = kubelet().parts.machine.cpus;
  await start(admin, 'large', [sleeper('c', image, amounts(`${cpus * 1000 - 500}m`, '32Mi'))]);
  const small = await start(admin, 'small', [sleeper('c', image, amounts('100m', '32Mi'))]);
  const pending = (reason: string) =>
    until(`a resize that is ${reason}`, async () => {
      const pod = await find(admin, 'small');
      return conditionOf(pod, 'PodResizePending')?.reason === reason && pod;
    });
  await resize(admin, 'small', 'c', amounts(`${cpus + 1}`, '32Mi'));
  const never = await pending('Infeasible');
  assert.match(
    conditionOf(never, 'PodResizePending')?.message ?? '',
    /enough capacity: cpu, requested: \d+, capacity/,
  );
  await resize(admin, 'small', 'c', amounts('900m', '32Mi'));
  const later = await pending('Deferred');
  assert.match(conditionOf(later, 'PodResizePending')?.message ?? '', /enough resource: cpu, requested: 900/);
  assert.equal(statusOf(later, 'c')?.allocatedResources?.cpu, '100m');
  await restart();
  await wait(1500);
  const kept = await find(admin, 'small');
  assert.equal(
    statusOf(kept, 'c')?.containerID,
    statusOf(small, 'c')?.containerID,
    'a restart of the kubelet grants nothing',
  );
  assert.equal(statusOf(kept, 'c')?.allocatedResources?.cpu, '100m');
  await end(admin, 'large');
  await settled(admin, 'small', 'c', amounts('900m', '32Mi'));
}

test('resize in place, with restart, refused and deferred', { timeout: 200_000 }, async () => {
  await staged(async (stage) => {
    await growsAndShrinks(stage);
    await resizesThePodAsAWhole(stage);
    await refusesBelowUsage(stage);
    await end(stage.admin, 'whole');
    await end(stage.admin, 'web');
    await end(stage.admin, 'full');
    await waitsForRoom(stage);
  });
});
