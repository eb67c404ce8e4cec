import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { PodSandboxConfigSchema } from '#contracts/cri/runtime_pb.ts';
import type { SpecResources } from '#contracts/oci/runtime.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { testPlugins, until } from '../../../test/nri-fixture.ts';
import type { SandboxView } from '../ports.ts';
import { createNri, type NriContainer, type NriDeps } from './index.ts';

const pod = {
  id: 'p1',
  config: create(PodSandboxConfigSchema, { metadata: { name: 'pod', namespace: 'ns', uid: 'u' } }),
  ready: true,
  runtimeHandler: 'crun',
  namespaces: {},
  files: { hostname: '', resolvConf: '', shm: '' },
  ips: ['10.0.0.2'],
  cgroupParent: '',
  createdAt: 1n,
} satisfies SandboxView;

function container(id: string, filler = ''): NriContainer {
  return {
    id,
    sandboxId: pod.id,
    name: id,
    labels: {},
    annotations: { filler },
    cdiDevices: [],
    image: { name: '', digest: '', configDigest: '' },
    state: 'running',
    pid: 1,
    createdAt: 1n,
    startedAt: 1n,
    finishedAt: 0n,
    exitCode: 0,
    reason: '',
    message: '',
    spec: undefined,
  };
}

/** NRI over containers that are only names. */
async function open(t: TestContext, live: NriContainer[] = [], settings: Partial<NriDeps['settings']> = {}) {
  const directory = mkdtempSync('/tmp/skiff-nri-');
  const updates: [string, SpecResources][] = [];
  const evicted: string[] = [];
  const spawner = createSpawner();
  const nri = createNri({
    settings: {
      socket: join(directory, 'nri.sock'),
      pluginDirectory: join(directory, 'plugins'),
      configDirectory: join(directory, 'conf'),
      enabled: true,
      registrationTimeoutMs: 5_000,
      requestTimeoutMs: 10_000,
      ...settings,
    },
    version: '0.0.0-test',
    spawner,
    log: silentLogger,
    sandboxes: { find: () => pod, list: () => [pod] },
    containers: {
      live: () => live,
      update: async (id, resources) => {
        if (id === 'none') throw new Error('there is no such container');
        updates.push([id, resources]);
      },
      evict: async (id) => void evicted.push(id),
      injectCdi: (spec) => spec,
    },
    swapLimits: false,
    clampOomScore: (score) => score,
  });
  t.after(async () => {
    await nri[Symbol.asyncDispose]();
    spawner[Symbol.dispose]();
  });
  const plugins = testPlugins(t, directory, join(directory, 'nri.sock'), () => nri.plugins());
  return { nri, plugins, updates, evicted, directory };
}

const signal = new AbortController().signal;
const limit = (containerId: string, shares: string) => ({
  containerId,
  linux: { resources: { cpu: { shares } } },
});

test('a new plugin is told of all there is, in parts if need be, and what it wants is done', async (t) => {
  const live = Array.from({ length: 12 }, (_, n) => container(`c${n}`, 'x'.repeat(1024 * 1024)));
  const { nri, plugins, updates, evicted } = await open(t, live);
  await nri.start();
  await plugins.start('10', 'sync', {
    answers: { Synchronize: { update: [limit('c1', '100')] } },
    update: {
      update: [limit('c2', '200'), limit('none', '300')],
      evict: [{ containerId: 'c3', reason: 'r' }],
    },
  });
  const told = plugins.told().filter(({ method }) => method === 'Synchronize');
  assert.ok(told.length > 1, 'more than a message may hold came in parts');
  const ids = told.flatMap(({ request }) =>
    ((request as { containers?: { id: string }[] }).containers ?? []).map(({ id }) => id),
  );
  assert.deepEqual(
    ids,
    live.map(({ id }) => id),
  );
  const answer = await until('the unsolicited update', () =>
    plugins.told().find(({ method }) => method === 'updated'),
  );
  assert.deepEqual(
    ((answer.request as { failed?: { containerId: string }[] }).failed ?? []).map((one) => one.containerId),
    ['none'],
  );
  await until('both updates', () => updates.length === 2);
  assert.deepEqual(
    new Map(updates),
    new Map([
      ['c1', { cpu: { shares: 100 } }],
      ['c2', { cpu: { shares: 200 } }],
    ]),
  );
  assert.deepEqual(evicted, ['c3']);
});

test('pods: a refusal is undone, an older plugin is told by StateChange, failures at the end stop nothing', async (t) => {
  const { nri, plugins } = await open(t);
  await nri.start();
  await plugins.start('10', 'old', { missing: ['RunPodSandbox', 'StopPodSandbox', 'RemovePodSandbox'] });
  const { run, stop, remove, update } = nri.sandboxHooks;
  await run(pod, signal);
  await update(pod, signal);
  await plugins.start('20', 'no', { fail: ['RunPodSandbox', 'StopPodSandbox', 'RemovePodSandbox'] });
  await assert.rejects(run(pod, signal), /NRI plugin "20-no": RunPodSandbox refused/);
  await stop(pod, signal);
  await remove(pod, signal);
  const events = plugins.told().filter(({ method }) => method === 'StateChange');
  assert.deepEqual(
    events.map(({ request }) => (request as { event: string }).event),
    [
      'RUN_POD_SANDBOX',
      'RUN_POD_SANDBOX',
      'STOP_POD_SANDBOX',
      'REMOVE_POD_SANDBOX',
      'STOP_POD_SANDBOX',
      'REMOVE_POD_SANDBOX',
    ],
  );
  assert.ok(plugins.events().includes('old PostUpdatePodSandbox'));
  assert.deepEqual(nri.plugins(), ['10-old', '20-no'], 'an error is no reason to drop a plugin');
});

test('garbage, silence and bad names on the socket harm nobody', async (t) => {
  const { nri, plugins } = await open(t, [], { registrationTimeoutMs: 1_500 });
  await nri.start();
  for (const bytes of [
    'GET / HTTP/1.1\r\n\r\n',
    '\0\0\0\x02\0\0\0\x0a\0\0\0\0\0\0\0\x01\x09\0',
    '\0\0\0\x02\x7f\xff\xff\xff',
    '',
  ]) {
    const socket = connect(plugins.socket);
    socket.on('error', () => {});
    socket.resume();
    socket.write(Buffer.from(bytes, 'latin1'));
    await once(socket, 'close');
  }
  const bad = [
    plugins.spawn('1x', 'bad-index'),
    plugins.spawn('10', 'bad/name'),
    plugins.spawn('10', 'bad-events', { events: 1 << 20 }),
  ];
  await Promise.all(bad.map((child) => once(child, 'exit')));
  const refused = plugins.told().filter(({ method }) => method === 'refused');
  const whys = refused.map(({ request }) => (request as { why: string }).why).sort();
  assert.match(whys[0] ?? '', /an NRI plugin's name is "bad\/name"/);
  assert.match(whys[1] ?? '', /the index of NRI plugin "bad-index" is "1x": use two digits/);
  assert.deepEqual(nri.plugins(), []);
  await nri.sandboxHooks.run(pod, signal);
});

test('installed plugins are started with their configuration and end with the server', async (t) => {
  const { nri, plugins, directory } = await open(t);
  for (const name of ['plugins', 'conf']) mkdirSync(join(directory, name));
  const script = join(import.meta.dirname, '../../../test/nri-plugin.ts');
  const pids = join(directory, 'pid');
  const body = `#!/bin/sh\necho $$ >${pids}\nexec ${process.execPath} ${script}\n`;
  writeFileSync(join(directory, 'plugins', '05-own'), body, { mode: 0o755 });
  writeFileSync(join(directory, 'plugins', '06-broken'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  writeFileSync(join(directory, 'plugins', 'README'), 'no plugin');
  writeFileSync(join(directory, 'conf', 'own.conf'), JSON.stringify({ report: plugins.report }));
  await nri.start();
  assert.deepEqual(nri.plugins(), ['05-own']);
  await nri.sandboxHooks.run(pod, signal);
  assert.deepEqual(plugins.events(), ['own RunPodSandbox']);
  await nri[Symbol.asyncDispose]();
  const pid = readFileSync(pids, 'utf8').trim();
  await until('its end', () => {
    try {
      return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z');
    } catch {
      return true;
    }
  });
});

test('a validator sees all adjustments with their owners, and can reject them', async (t) => {
  const { nri, plugins } = await open(t);
  await nri.start();
  await plugins.start('10', 'sets', {
    answers: { CreateContainer: { adjust: { env: [{ key: 'A', value: '1' }], args: ['x'] } } },
  });
  await plugins.start('20', 'judge', {
    events: 1 << 13,
    answers: { ValidateContainerAdjustment: { reject: true, reason: 'A is mine' } },
  });
  const spec = {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: ['sh'], cwd: '/' },
    root: { path: '/' },
    mounts: [],
    linux: { namespaces: [] },
  };
  await assert.rejects(
    nri.containerHooks.create(container('c'), spec),
    /"20-judge": it rejects .*: A is mine/,
  );
  const { request } = plugins.told().findLast(({ method }) => method === 'ValidateContainerAdjustment') ?? {};
  const {
    adjust,
    owners,
    container: before,
  } = request as Record<string, never> & { container: { args: string[] } };
  assert.deepEqual(before.args, ['sh']);
  assert.deepEqual(adjust, { env: [{ key: 'A', value: '1' }], args: ['x'] });
  assert.deepEqual(owners, {
    owners: { c: { simple: { 7: '10-sets' }, compound: { 6: { owners: { A: '10-sets' } } } } },
  });
});
