/** What is hostile or broken around the kubelet: it stays up, the pods beside do not notice, and an event says why. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { connectCri } from '#contracts/cri/client.ts';
import { ContainerState } from '#contracts/cri/runtime_pb.ts';
import type { CoreEvent, Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { type Clock, systemClock } from '#foundation/base/time.ts';
import { bindMount, mount, unmount, unmountTree } from '#foundation/linux/mount.ts';
import { loadConfiguration } from './configuration/load.ts';
import { createKubelet } from './kubelet.ts';
import { endKubelet } from './testing/end-kubelet.ts';
import { quietKubelet } from './testing/quiet.ts';
import { type ScriptedRuntime, startScriptedRuntime } from './testing/scripted-runtime.ts';

const logger = process.env.VERBOSE === undefined ? silentLogger : createLogger('info');

interface Place extends AsyncDisposable {
  runtime: ScriptedRuntime;
  root: string;
  events: CoreEvent[];
  write(name: string, spec?: object, container?: object): void;
  remove(name: string): void;
  pod(name: string): Pod | undefined;
  running(name: string): boolean;
  restarts(name: string): number | undefined;
}

interface Options {
  clock?: Clock;
  /** Prepares the root before anything is there. */
  prepare?(root: string): void;
  runtimeRequestTimeout?: string;
  /** A second source of pods. */
  staticPodURL?: string;
}

async function open({
  clock = systemClock,
  prepare,
  runtimeRequestTimeout = '1s',
  staticPodURL,
}: Options = {}): Promise<Place> {
  const outer = mkdtempSync('/tmp/skiff-host-');
  const root = join(outer, 'root');
  const manifests = join(outer, 'manifests');
  mkdirSync(root);
  mkdirSync(manifests);
  prepare?.(root);
  const socket = join(outer, 'cri.sock');
  const runtime = await startScriptedRuntime(socket);
  const cri = connectCri(socket);
  const events: CoreEvent[] = [];
  const url = staticPodURL === undefined ? {} : { staticPodURL };
  const overrides = { ...quietKubelet, ...url, staticPodPath: manifests, runtimeRequestTimeout };
  const kubelet = createKubelet({
    paths: pathsUnder(root),
    cri,
    configuration: loadConfiguration({ overrides }),
    clock,
    logger,
    nodeName: 'n',
    eventSinks: [{ record: (event) => events.push(event) }],
    settings: { initialRestartBackoffMs: 200 },
  });
  await kubelet.start();
  const pod = (name: string) => kubelet.services.view.find('default', `${name}-n`);
  const file = (name: string) => join(manifests, `${name}.json`);
  return {
    runtime,
    root,
    events,
    pod,
    running: (name) => pod(name)?.status?.containerStatuses?.[0]?.state?.running !== undefined,
    restarts: (name) => pod(name)?.status?.containerStatuses?.[0]?.restartCount,
    write(name, spec = {}, container = {}) {
      const main = { name: 'main', image: 'i:1', command: ['x'], ...container };
      const whole = { terminationGracePeriodSeconds: 1, containers: [main], ...spec };
      writeFileSync(
        file(name),
        JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: whole }),
      );
    },
    remove: (name) => unlinkSync(file(name)),
    async [Symbol.asyncDispose]() {
      await endKubelet(kubelet);
      cri.close();
      await runtime[Symbol.asyncDispose]();
      unmountTree(outer);
      rmSync(outer, { recursive: true, force: true });
    },
  };
}

async function until(what: string, check: () => boolean | undefined, ms = 120_000): Promise<void> {
  for (const end = performance.now() + ms; check() !== true; await wait(10))
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
}

const said = ({ events }: Place, pod: string, reason: string, pattern = /./) =>
  events.some(
    (event) =>
      event.involvedObject.name === `${pod}-n` &&
      event.reason === reason &&
      pattern.test(event.message ?? ''),
  );

const isFor = (request: object, name: string) =>
  JSON.stringify(request, (_, value: unknown) => (typeof value === 'bigint' ? 0 : value)).includes(
    `"${name}-n"`,
  );

test('of two pods of one name from one source the first runs, and an event of the other says why it does not', async () => {
  const spec = { containers: [{ name: 'main', image: 'i:1', command: ['x'] }] };
  const items = ['one', 'two'].map((uid) => ({ metadata: { name: 'twin', uid }, spec }));
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'PodList', metadata: {}, items });
  const server = createServer((_, response) => response.end(list));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  {
    const staticPodURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    await using place = await open({ staticPodURL });
    await until('the first', () => place.running('twin'));
    assert.equal(place.pod('twin')?.metadata.uid, 'one');
    await until('the event', () => said(place, 'twin', 'FailedValidation', /same name/));
    const event = place.events.find(({ reason }) => reason === 'FailedValidation');
    assert.deepEqual([event?.type, event?.involvedObject.uid], ['Warning', 'two']);
    assert.equal(place.runtime.created('twin-n'), 1);
  }
  server.closeAllConnections();
  server.close();
});

test('a runtime that hangs on one pod: the others start, an event says why, and it goes on when the runtime does', async () => {
  await using place = await open();
  place.write('before');
  await until('the first', () => place.running('before'));
  place.runtime.fault = (call, request) =>
    call === 'createContainer' && isFor(request, 'stuck') ? 'hang' : undefined;
  place.write('stuck');
  place.write('after');
  await until('the next', () => place.running('after'));
  await until('the event', () => said(place, 'stuck', 'Failed', /deadline|timed out|did not|within/i));
  assert.equal(place.running('stuck'), false);
  place.runtime.fault = () => undefined;
  await until('the stuck one', () => place.running('stuck'));
  assert.deepEqual([place.restarts('before'), place.restarts('after')], [0, 0]);
});

test('a runtime that hangs on everything, fails, or dies: containers that run are left alone and found again', async () => {
  await using place = await open();
  place.write('a');
  await until('Running', () => place.running('a'));
  place.runtime.fault = () => 'hang';
  await wait(2500);
  place.runtime.fault = (call) =>
    call === 'runPodSandbox' ? new SkiffError('INTERNAL', 'the disk is on fire') : undefined;
  place.write('b');
  await until('the event', () => said(place, 'b', 'FailedCreatePodSandBox', /on fire/));
  await place.runtime.die();
  await wait(1500);
  assert.equal(place.pod('a')?.status?.phase, 'Running', 'nothing is concluded from silence');
  place.runtime.fault = () => undefined;
  await place.runtime.revive();
  place.write('c');
  await until('another', () => place.running('c'));
  assert.deepEqual([place.running('a'), place.restarts('a'), place.runtime.created('a-n')], [true, 0, 1]);
});

test('a runtime that talks nonsense: what cannot be is passed over', async () => {
  await using place = await open();
  place.write('a');
  await until('Running', () => place.running('a'));
  const uid = place.pod('a')?.metadata.uid ?? '';
  const labels = {
    'io.kubernetes.pod.uid': uid,
    'io.kubernetes.pod.name': 'a-n',
    'io.kubernetes.container.name': 'main',
  };
  place.runtime.nonsense = [
    {},
    { id: '', labels: { 'io.kubernetes.pod.uid': '../../etc' }, metadata: { name: '/' } },
    { id: 'no-status', labels, metadata: { name: 'main', attempt: 9 }, state: 77 as ContainerState },
    {
      id: 'x'.repeat(100_000),
      labels: { 'io.kubernetes.pod.uid': 'other' },
      state: ContainerState.CONTAINER_EXITED,
    },
  ];
  place.write('b');
  await until('the other', () => place.running('b'));
  await wait(1500);
  assert.deepEqual([place.running('a'), place.restarts('a'), place.runtime.created('a-n')], [true, 0, 1]);
  place.remove('a');
  await until('its end', () => place.pod('a') === undefined);
});

test('a runtime that lost its pods: they are made anew', async () => {
  await using place = await open();
  place.write('a');
  await until('Running', () => place.running('a'));
  place.runtime.loseAll();
  await until('Running again', () => place.running('a') && place.runtime.created('a-n') === 2);
  assert.ok((place.restarts('a') ?? 0) >= 1, 'that is a restart');
});

test('a probe that floods its output: a part is kept, an event has it', async () => {
  await using place = await open({ runtimeRequestTimeout: '10s' });
  place.runtime.exec = { exitCode: 1, stdout: Buffer.alloc(8 * 1024 * 1024, 'no! ') };
  place.write('loud', {}, { readinessProbe: { exec: { command: ['x'] }, periodSeconds: 1 } });
  await until('the event', () => said(place, 'loud', 'Unhealthy', /^Readiness probe failed: no! no!/));
  const { message = '' } = place.events.find(({ reason }) => reason === 'Unhealthy') ?? {};
  assert.ok(message.length < 11_000, `the event has ${message.length} characters`);
  place.write('quiet');
  await until('the other', () => place.running('quiet'));
});

test('a clock that jumps an hour, there and back: nothing restarts, nothing ends', async () => {
  let offset = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + offset };
  await using place = await open({ clock });
  place.write('a', {}, { livenessProbe: { exec: { command: ['x'] }, periodSeconds: 1 } });
  await until('Running', () => place.running('a'));
  for (const jump of [3_600_000, -3_600_000, 0]) {
    offset = jump;
    await wait(1200);
    place.write(`at${jump}`);
    await until('another pod', () => place.running(`at${jump}`));
    assert.deepEqual([place.running('a'), place.restarts('a')], [true, 0]);
  }
});

test('a full disk: what runs goes on, an event says why others do not, and they do when there is room', async () => {
  const prepare = (root: string) => mount({ source: 'tmpfs', target: root, type: 'tmpfs', data: 'size=4m' });
  await using place = await open({ prepare });
  place.write('a');
  await until('Running', () => place.running('a'));
  const filler = join(place.root, 'filler');
  writeFileSync(filler, Buffer.alloc(statfsSync(place.root).bfree * 4096));
  place.write('b', {}, { command: ['y'] });
  await until('the event', () =>
    place.events.some(
      ({ involvedObject, message }) =>
        involvedObject.name === 'b-n' && /ENOSPC|no space/i.test(message ?? ''),
    ),
  );
  assert.deepEqual([place.running('a'), place.restarts('a'), place.running('b')], [true, 0, false]);
  unlinkSync(filler);
  await until('the other', () => place.running('b'));
});

test('a volume that cannot be taken away: an event says why, others do not notice, and it goes when it can', async () => {
  await using place = await open();
  place.write('a', { volumes: [{ name: 'd', emptyDir: {} }] });
  place.write('b', { volumes: [{ name: 'd', emptyDir: {} }] });
  await until('Running', () => place.running('a') && place.running('b'));
  const directory = join(place.root, 'lib/kubelet/pods', place.pod('a')?.metadata.uid ?? '');
  const volumes = join(directory, 'volumes', 'kubernetes.io~empty-dir');
  bindMount(volumes, volumes, { readOnly: true });
  place.remove('a');
  await until('the event', () => said(place, 'a', 'FailedUnMount', /EROFS|read-only/i));
  place.write('c', { volumes: [{ name: 'd', emptyDir: {} }] });
  await until('another', () => place.running('c'));
  assert.deepEqual([place.running('b'), place.restarts('b'), existsSync(volumes)], [true, 0, true]);
  unmount(volumes);
  await until('it is gone', () => !existsSync(directory));
});

test('a pod of a thousand containers, and one beside it', { timeout: 400_000 }, async () => {
  await using place = await open({ runtimeRequestTimeout: '2m' });
  const containers = Array.from({ length: 1000 }, (_, index) => ({ name: `c${index}`, image: 'i:1' }));
  place.write('many', { containers });
  await until('the first of them', () => place.runtime.created('many-n') > 0);
  place.write('beside');
  await until('the one beside', () => place.running('beside'));
  assert.ok(place.runtime.created('many-n') < 1000, 'it did not wait for them');
  await until('a hundred of them', () => place.runtime.created('many-n') >= 100);
  place.remove('many');
  await until('their end', () => place.pod('many') === undefined);
});
