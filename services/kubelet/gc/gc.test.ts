import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  ContainerSchema,
  ContainerState,
  ImageSchema,
  PodSandboxSchema,
  PodSandboxState,
} from '#contracts/cri/runtime_pb.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { type ContainerGcDeps, collectContainers, deadContainers, unusedSandboxes } from './containers.ts';
import { createImageCollector, type ImageGcDeps } from './images.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

const { CONTAINER_EXITED, CONTAINER_RUNNING, CONTAINER_CREATED } = ContainerState;

const container = (
  id: string,
  uid: string,
  name: string,
  at: number,
  state: ContainerState = CONTAINER_EXITED,
) =>
  create(ContainerSchema, {
    id,
    podSandboxId: `s-${uid}`,
    createdAt: BigInt(at),
    state,
    labels: { 'io.kubernetes.pod.uid': uid, 'io.kubernetes.container.name': name },
  });

const sandbox = (
  id: string,
  uid: string,
  at: number,
  state: PodSandboxState = PodSandboxState.SANDBOX_NOTREADY,
) => create(PodSandboxSchema, { id, metadata: { uid }, createdAt: BigInt(at), state });

const view = (gone: string[]) => ({
  sourcesReady: () => true,
  mayRemoveContent: (uid: string) => gone.includes(uid),
  mayRemoveRuntime: (uid: string) => gone.includes(uid),
});

test('of dead containers the newest of each name stays; of pods that are gone, none', () => {
  const containers = [
    container('old', 'a', 'web', 1),
    container('older', 'a', 'web', 0),
    container('new', 'a', 'web', 2),
    container('other', 'a', 'db', 1),
    container('up', 'a', 'web', 3, CONTAINER_RUNNING),
    container('soon', 'a', 'web', 4, CONTAINER_CREATED),
    container('gone', 'b', 'web', 9),
  ];
  const ids = deadContainers({ view: view(['b']) }, containers, {}).map(({ id }) => id);
  assert.deepEqual(ids.sort(), ['gone', 'old', 'older']);
});

test('sandboxes go when they are not ready, empty, and not the newest of a pod that is there', () => {
  const sandboxes = [
    sandbox('ready', 'a', 1, PodSandboxState.SANDBOX_READY),
    sandbox('old', 'a', 0),
    sandbox('newest', 'c', 5),
    sandbox('s-d', 'd', 0),
    sandbox('gone', 'b', 7),
  ];
  const ids = unusedSandboxes({ view: view(['b', 'd']) }, sandboxes, [container('x', 'd', 'n', 0)]).map(
    ({ id }) => id,
  );
  assert.deepEqual(ids.sort(), ['gone', 'old']);
});

test('a collection removes containers with their logs, sandboxes, logs of gone pods, dead links', async () => {
  const root = mkdtempSync('/tmp/skiff-gc-');
  roots.push(root);
  mkdirSync(`${root}/pods/ns_web_b/c`, { recursive: true });
  mkdirSync(`${root}/pods/ns_web_a/c`, { recursive: true });
  mkdirSync(`${root}/links`);
  writeFileSync(`${root}/pods/ns_web_a/c/0.log`, '');
  writeFileSync(`${root}/pods/ns_web_a/c/0.log.20260101-000000.gz`, '');
  writeFileSync(`${root}/pods/ns_web_a/c/1.log`, '');
  symlinkSync(`${root}/pods/ns_web_a/c/0.log`, `${root}/links/dead.log`);
  symlinkSync(`${root}/pods/ns_web_a/c/1.log`, `${root}/links/live.log`);
  const containers = [container('one', 'a', 'c', 0), container('two', 'a', 'c', 1)];
  const calls: string[] = [];
  const deps: ContainerGcDeps = {
    view: view(['b']),
    podLogs: `${root}/pods`,
    containerLogs: `${root}/links`,
    log: silentLogger,
    cri: {
      listContainers: async () => ({ containers }),
      listPodSandbox: async () => ({ items: [sandbox('sb', 'b', 0)] }),
      containerStatus: async () => ({ status: { logPath: `${root}/pods/ns_web_a/c/0.log` } }),
      removeContainer: async ({ containerId }: { containerId: string }) =>
        void calls.push(`remove ${containerId}`),
      stopPodSandbox: async () => void calls.push('stop sandbox'),
      removePodSandbox: async () => void calls.push('remove sandbox'),
    } as never,
  };
  await collectContainers(
    { ...deps, view: { ...deps.view, sourcesReady: () => false } },
    {},
    new AbortController().signal,
  );
  assert.deepEqual(calls, [], 'nothing before all sources were seen');
  await collectContainers(deps, {}, new AbortController().signal);
  assert.deepEqual(calls, ['remove one', 'stop sandbox', 'remove sandbox']);
  assert.equal(existsSync(`${root}/pods/ns_web_b`), false);
  assert.equal(existsSync(`${root}/pods/ns_web_a/c/0.log`), false);
  assert.equal(existsSync(`${root}/pods/ns_web_a/c/0.log.20260101-000000.gz`), false);
  assert.equal(existsSync(`${root}/pods/ns_web_a/c/1.log`), true);
  assert.equal(existsSync(`${root}/links/live.log`), true);
  assert.throws(() => rmSync(`${root}/links/dead.log`), /ENOENT/);
});

function images(settings: Partial<ImageGcDeps> & { available: number; used?: string[] }) {
  const clock = fakeClock();
  const present = ['a', 'b', 'c', 'pinned'].map((id) =>
    create(ImageSchema, { id, repoTags: [`${id}:1`], size: 100n, pinned: id === 'pinned' }),
  );
  const used = new Set(settings.used ?? []);
  const removed: string[] = [];
  const events: string[] = [];
  const state = { available: settings.available };
  const collector = createImageCollector({
    cri: {
      listImages: async () => ({ images: present.filter(({ id }) => !removed.includes(id)) }),
      imageFsInfo: async () => ({ imageFilesystems: [{ fsId: { mountpoint: '/' } }] }),
      removeImage: async ({ image }: { image: { image: string } }) => void removed.push(image.image),
    } as never,
    view: { imagesInUse: () => used, sourcesReady: () => true },
    clock,
    events: { node: (_type, reason) => events.push(reason) },
    log: silentLogger,
    highPercent: 85,
    lowPercent: 80,
    minAgeMs: 120_000,
    maxAgeMs: 0,
    diskOf: async () => ({ capacity: 1000, available: state.available }),
    ...settings,
  });
  return { clock, collector, removed, events, used, state };
}

const signal = new AbortController().signal;

test('images stay while there is room', async () => {
  const { clock, collector, removed } = images({ available: 160 });
  await collector.collect(signal);
  await clock.advance(200_000);
  await collector.collect(signal);
  assert.deepEqual(removed, []);
});

test('a full disk costs the least recently used, down to the lower mark; young ones stay', async () => {
  const { clock, collector, removed, used, events, state } = images({ available: 500, used: ['a:1', 'c'] });
  await collector.collect(signal);
  await clock.advance(60_000);
  used.delete('a:1');
  await collector.collect(signal);
  state.available = 60;
  await assert.rejects(collector.collect(signal), /Attempted to free 140 bytes, but only found 0 bytes/);
  assert.deepEqual(removed, [], 'all are younger than two minutes');
  assert.deepEqual(events, ['FreeDiskSpaceFailed']);
  await clock.advance(120_000);
  await collector.collect(signal);
  assert.deepEqual(removed, ['b', 'a'], 'b was never used, a a while ago, c is in use, pinned is pinned');
});

test('images that nobody used for long go whatever the disk says', async () => {
  const { clock, collector, removed } = images({ available: 900, maxAgeMs: 3_600_000, used: ['a'] });
  await collector.collect(signal);
  await clock.advance(3_700_000);
  await collector.collect(signal);
  assert.deepEqual(removed.sort(), ['b', 'c']);
});

test('eviction takes all that may go', async () => {
  const { collector, removed } = images({ available: 900, used: ['b'] });
  assert.equal(await collector.removeUnused(signal), 200);
  assert.deepEqual(removed.sort(), ['a', 'c']);
});
