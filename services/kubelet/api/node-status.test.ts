/** When the node's status is looked at and when it is written (kubelet-facts 9), on a clock of the test's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import type { KubeletApi } from '../ports.ts';
import { reportNodeStatus } from './node-status.ts';

const updateMs = 10_000;
const reportMs = 300_000;

/** A reporter of a node that is as the test says; an API that keeps what it is told, or fails. */
function setup(ready: boolean, random = 0) {
  const clock = fakeClock();
  const state = {
    ready,
    looks: [] as number[],
    writes: [] as number[],
    failing: 0,
    stop: new AbortController(),
  };
  const own = (): Node => ({
    metadata: { name: 'n1' },
    spec: {},
    status: {
      conditions: [
        {
          type: 'Ready',
          status: state.ready ? 'True' : 'False',
          reason: '',
          message: '',
          lastHeartbeatTime: String(clock.now()),
        },
      ],
    },
  });
  const api = {
    request: async ({ method }: { method: string }) => {
      if (method === 'GET') return own();
      state.writes.push(clock.monotonic());
      if (state.failing > 0) {
        state.failing -= 1;
        throw new Error('no');
      }
      return own();
    },
  } as unknown as Pick<KubeletApi, 'request'>;
  const node = {
    node: async () => {
      state.looks.push(clock.monotonic());
      return own();
    },
  };
  const registered: Node = { metadata: { name: 'n1' }, spec: {} };
  const deps = { api, node, clock, logger: silentLogger, updateMs, reportMs, random: () => random };
  const done = reportNodeStatus(deps, registered, state.stop.signal);
  const end = async () => {
    state.stop.abort();
    await done;
  };
  return { clock, state, end };
}

test('until it is ready the node is looked at every 100 ms, then every 10 s', async () => {
  const { clock, state, end } = setup(false);
  await clock.advance(1000);
  assert.deepEqual(state.looks.slice(0, 4), [0, 100, 200, 300]);
  assert.equal(state.looks.length, 11);
  assert.deepEqual(state.writes, [0], 'nothing changed');
  state.ready = true;
  await clock.advance(100);
  assert.deepEqual(state.writes, [0, 1100], 'that it is ready is told within 100 ms');
  state.looks = [];
  await clock.advance(30_000);
  assert.deepEqual(state.looks, [11_100, 21_100, 31_100]);
  state.ready = false;
  await clock.advance(20_000);
  assert.deepEqual(state.looks, [11_100, 21_100, 31_100, 41_100, 51_100], 'its start was over');
  await end();
});

test('a node that does not become ready is looked at so often for two minutes only', async () => {
  const { clock, state, end } = setup(false);
  await clock.advance(120_000);
  assert.equal(state.looks.length, 1201);
  state.looks = [];
  await clock.advance(30_000);
  assert.equal(state.looks.length, 3);
  await end();
});

for (const [random, first] of [
  [0, 150_000],
  [0.5, 310_000],
] as const)
  test(`without a change it is written every five minutes, the first time spread by ${random}`, async () => {
    const { clock, state, end } = setup(true, random);
    const look = updateMs * (1 + 0.04 * random);
    await clock.advance(first + look);
    assert.equal(state.writes.length, 2, `${state.writes}`);
    const [, second = 0] = state.writes;
    assert.ok(second >= reportMs * (0.5 + random) && second < reportMs * (0.5 + random) + look);
    await clock.advance(reportMs + look);
    assert.equal(state.writes.length, 3);
    const [, , third = 0] = state.writes;
    assert.ok(third - second >= reportMs && third - second < reportMs + look);
    await end();
  });

test('a write is tried five times at once, and again with the next look', async () => {
  const { clock, state, end } = setup(true);
  state.failing = 7;
  await clock.advance(0);
  assert.deepEqual(state.writes, [0, 0, 0, 0, 0]);
  await clock.advance(updateMs);
  assert.deepEqual(state.writes.slice(5), [10_000, 10_000, 10_000]);
  await clock.advance(updateMs);
  assert.equal(state.writes.length, 8, 'the third of them was taken');
  await end();
});

/** A node with a device plugin's resources, an API that merges, and others that write into the Node. */
function shared(plugin: Record<string, string>) {
  const clock = fakeClock();
  const stop = new AbortController();
  let stored: Node = { metadata: { name: 'n1', uid: 'u', resourceVersion: '1' }, spec: {} };
  const merge = (before: Record<string, string> = {}, patch: Record<string, string | null> = {}) =>
    Object.fromEntries(
      Object.entries({ ...before, ...patch }).filter((entry): entry is [string, string] => entry[1] !== null),
    );
  const change = (status: Partial<Record<'capacity' | 'allocatable', Record<string, string | null>>>) => {
    const { capacity, allocatable } = stored.status ?? {};
    stored = {
      metadata: { ...stored.metadata, resourceVersion: String(Number(stored.metadata.resourceVersion) + 1) },
      spec: {},
      status: {
        capacity: merge(capacity, status.capacity),
        allocatable: merge(allocatable, status.allocatable),
      },
    };
  };
  const patches: Record<string, unknown>[] = [];
  const api = {
    node: () => stored,
    request: async ({ body }: { body: { status: Record<string, unknown> } }) => {
      const { conditions: _, ...rest } = body.status;
      patches.push(rest);
      change(rest);
      return stored;
    },
  } as unknown as Pick<KubeletApi, 'request' | 'node'>;
  const node = {
    node: async (): Promise<Node> => ({
      metadata: { name: 'n1' },
      spec: {},
      status: { capacity: { cpu: '2', ...plugin }, allocatable: { cpu: '2', ...plugin } },
    }),
  };
  const deps = { api, node, clock, logger: silentLogger, updateMs, reportMs, random: () => 0 };
  const done = reportNodeStatus(deps, stored, stop.signal);
  const end = async () => {
    stop.abort();
    await done;
  };
  return { clock, change, patches, end, status: () => stored.status, look: () => clock.advance(updateMs) };
}

test('what others advertise as capacity is allocatable with the next look, and no more when they take it back', async () => {
  const { change, patches, end, look, status, clock } = shared({});
  await clock.advance(121_000);
  change({ capacity: { 'example.com/dongle': '4' } });
  await look();
  assert.deepEqual(status()?.allocatable, { cpu: '2', 'example.com/dongle': '4' });
  const told = patches.length;
  await look();
  assert.equal(patches.length, told, 'it is told once');
  change({ capacity: { 'example.com/dongle': '3' } });
  await look();
  assert.equal(status()?.allocatable?.['example.com/dongle'], '3');
  change({ capacity: { 'example.com/dongle': null } });
  await look();
  assert.deepEqual(status()?.allocatable, { cpu: '2' });
  await end();
});

test('of a device plugin that is gone nothing is left to take', async () => {
  const plugin: Record<string, string> = { 'vendor.test/x': '2' };
  const { end, look, status, clock } = shared(plugin);
  await clock.advance(121_000);
  assert.equal(status()?.allocatable?.['vendor.test/x'], '2');
  delete plugin['vendor.test/x'];
  await look();
  assert.equal(status()?.capacity?.['vendor.test/x'], '0');
  assert.equal(status()?.allocatable?.['vendor.test/x'], '0');
  plugin['vendor.test/x'] = '1';
  await look();
  assert.equal(status()?.allocatable?.['vendor.test/x'], '1');
  await end();
});
