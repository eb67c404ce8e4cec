/**
 * An API server that is ill: pods run on and are restarted, nobody is asked in a tight loop, and everything catches up
 * when it is well again.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { connectCri } from '#contracts/cri/client.ts';
import type { Lease, Node, Pod } from '#contracts/kubernetes/types.ts';
import { silentLogger as logger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { systemClock as clock } from '#foundation/base/time.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { connectKubeletApi } from './api/connect.ts';
import { loadConfiguration } from './configuration/load.ts';
import { createKubelet } from './kubelet.ts';
import { type FakeApiServer, type Illness, startFakeApi } from './testing/api-server.ts';
import { endKubelet } from './testing/end-kubelet.ts';
import { quietKubelet } from './testing/quiet.ts';
import { type ScriptedRuntime, startScriptedRuntime } from './testing/scripted-runtime.ts';

const pods = '/api/v1/namespaces/default/pods';

interface Place {
  server: FakeApiServer;
  runtime: ScriptedRuntime;
}

/** A kubelet between a runtime and an API server that both do as they are told. */
async function joined(work: (place: Place) => Promise<void>): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const outer = mkdtempSync('/tmp/skiff-out-');
  stack.defer(() => {
    unmountTree(outer);
    rmSync(outer, { recursive: true, force: true });
  });
  const root = join(outer, 'root');
  mkdirSync(root);
  const socket = join(outer, 'cri.sock');
  const runtime = stack.use(await startScriptedRuntime(socket));
  const cri = stack.use(connectCri(socket));
  const server = stack.use(await startFakeApi());
  const overrides = { ...quietKubelet, nodeLeaseDurationSeconds: 4 };
  const kubelet = createKubelet({
    paths: pathsUnder(root),
    cri,
    configuration: loadConfiguration({ overrides }),
    api: connectKubeletApi({ server: server.url }, { nodeName: 'n', clock, logger }),
    clock,
    logger,
    nodeName: 'n',
    settings: { initialRestartBackoffMs: 100 },
  });
  await kubelet.start();
  stack.defer(() => endKubelet(kubelet));
  await work({ server, runtime });
}

function put(server: FakeApiServer, name: string): void {
  server.put(`${pods}/${name}`, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: { nodeName: 'n', terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: 'i:1' }] },
    status: { phase: 'Pending' },
  } as Pod);
}

const container = (server: FakeApiServer, name: string) =>
  server.get<Pod>(`${pods}/${name}`)?.status?.containerStatuses?.[0];
const running = (server: FakeApiServer, name: string) =>
  container(server, name)?.state?.running !== undefined;

async function until(what: string, check: () => boolean | undefined, ms = 60_000): Promise<void> {
  for (const end = performance.now() + ms; check() !== true; await wait(10))
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
}

/**
 * What one second of an ill server may cost: the watches' pauses begin at 0.8 s, a node that is not ready is reported
 * ten times a second at most, a refused call comes back when it was told to.
 */
const mostCallsASecond = 12;

// Each waits most of its time.
suite('a kubelet and its API server', { concurrency: true }, () => {
  const illnesses: Illness[] = ['busy', 'failing', 'garbage', 'closing'];
  for (const illness of illnesses) {
    test(`an API server that is ${illness}: pods run on and restart, few calls are made, all catches up`, async (t) => {
      await joined(async ({ server, runtime }) => {
        put(server, 'before');
        await until('the first pod', () => running(server, 'before'));
        server.illness = illness;
        server.breakWatches();
        const began = performance.now();
        const earlier = server.requests.length;
        runtime.end('before');
        await until('a restart', () => runtime.created('before') === 2);
        put(server, 'meanwhile');
        await wait(3000);
        const seconds = (performance.now() - began) / 1000;
        const calls = server.requests.slice(earlier);
        assert.ok(calls.length > 0, 'it is asked at all');
        const counted = `${calls.length} calls in ${seconds.toFixed(1)} s: ${calls.slice(-20).join(', ')}`;
        t.diagnostic(`${calls.length} calls in ${seconds.toFixed(1)} s`);
        assert.ok(calls.length < mostCallsASecond * seconds, counted);
        assert.equal(runtime.created('before'), 2, 'nothing is concluded from silence');
        server.illness = undefined;
        await until('the restart is told', () => container(server, 'before')?.restartCount === 1);
        await until('the pod of the meantime', () => running(server, 'meanwhile'));
        const lease = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n';
        const renewed = server.get<Lease>(lease)?.spec?.renewTime;
        await until('a renewed lease', () => server.get<Lease>(lease)?.spec?.renewTime !== renewed);
        assert.equal(server.get<Node>('/api/v1/nodes/n')?.metadata.name, 'n');
      });
    });
  }

  test('an API server that drops its watches all the time: changes arrive, with a list only where it forgot', async () => {
    await joined(async ({ server }) => {
      put(server, 'first');
      await until('the first pod', () => running(server, 'first'));
      const earlier = server.requests.length;
      const began = performance.now();
      let drops = 0;
      const dropping = setInterval(() => server.breakWatches(++drops % 5 === 0), 300);
      try {
        for (const name of ['a', 'b', 'c']) {
          put(server, name);
          await until(name, () => running(server, name));
        }
        await until('drops', () => drops > 10);
      } finally {
        clearInterval(dropping);
      }
      const seconds = (performance.now() - began) / 1000;
      const asked = server.requests.slice(earlier).filter((call) => /^(WATCH|GET) /.test(call));
      assert.ok(
        asked.length < mostCallsASecond * seconds,
        `${asked.length} calls in ${seconds.toFixed(1)} s`,
      );
      const lists = asked.filter((call) => call === 'GET /api/v1/pods').length;
      assert.ok(lists <= Math.ceil(drops / 5), `${lists} lists of pods after ${drops} drops`);
    });
  });

  test('an idle node asks for nothing but its lease', async () => {
    await joined(async ({ server }) => {
      for (const name of ['a', 'b', 'c']) put(server, name);
      await until('they run', () => ['a', 'b', 'c'].every((name) => running(server, name)));
      const ready = () =>
        server
          .get<Node>('/api/v1/nodes/n')
          ?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
      await until('the node is ready', ready);
      // The period of the status writer, and what was under way.
      await wait(1000);
      const earlier = server.requests.length;
      await wait(11_000);
      const calls = server.requests.slice(earlier);
      const other = calls.filter((call) => !/leases\/n$|\/nodes\/n\/status$|\/events/.test(call));
      assert.deepEqual(other, []);
      const statuses = calls.filter((call) => call.endsWith('/nodes/n/status'));
      assert.ok(statuses.length <= 2, `${statuses.length} reports of the node`);
    });
  });
});
