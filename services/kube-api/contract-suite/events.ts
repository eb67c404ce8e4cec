/** Events of the core group and of events.k8s.io: two forms of one thing. */
import assert from 'node:assert/strict';
import { type Case, expectStatus, type Json, type Session } from './client.ts';

const newPath = (t: Session, name?: string) =>
  t.path('events', name).replace('/api/v1/', '/apis/events.k8s.io/v1/');

function newEvent(t: Session, name: string, extra: object = {}): Json {
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name },
    eventTime: '2026-01-02T03:04:05.678901Z',
    reportingController: 'example.com/tester',
    reportingInstance: 'tester-1',
    action: 'Testing',
    reason: 'Tested',
    type: 'Normal',
    note: 'it was tested',
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace: t.namespace, name: 'p' },
    ...extra,
  };
}

function coreEvent(t: Session, name: string, extra: object = {}): Json {
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace: t.namespace, name: 'p' },
    reason: 'Told',
    message: 'it was told',
    type: 'Warning',
    source: { component: 'teller', host: 'here' },
    firstTimestamp: '2026-01-02T03:04:05Z',
    lastTimestamp: '2026-01-02T03:05:05Z',
    count: 3,
    ...extra,
  };
}

/** The cases. */
export const eventCases: readonly Case[] = [
  {
    name: 'an event of events.k8s.io is one of the core group, too',
    run: async (t) => {
      const made = expectStatus(await t.post(newPath(t), newEvent(t, 'e')), 201);
      assert.equal(made.apiVersion, 'events.k8s.io/v1');
      const core = expectStatus(await t.get(t.path('events', 'e')), 200);
      assert.equal(core.apiVersion, 'v1');
      assert.equal(core.metadata.uid, made.metadata.uid);
      assert.deepEqual(
        [core.involvedObject.name, core.message, core.reportingComponent, core.eventTime],
        ['p', 'it was tested', 'example.com/tester', '2026-01-02T03:04:05.678901Z'],
      );
      assert.equal(core.note, undefined);
    },
  },
  {
    name: 'an event of the core group is one of events.k8s.io, too',
    run: async (t) => {
      expectStatus(await t.post(t.path('events'), coreEvent(t, 'e')), 201);
      const list = expectStatus(await t.get(newPath(t)), 200);
      assert.equal(list.kind, 'EventList');
      const [item] = list.items;
      assert.deepEqual(
        [item.regarding.name, item.note, item.deprecatedSource.host, item.deprecatedCount],
        ['p', 'it was told', 'here', 3],
      );
      assert.equal(item.deprecatedLastTimestamp, '2026-01-02T03:05:05Z');
      assert.equal(item.message, undefined);
    },
  },
  {
    name: 'a watch of events.k8s.io sees what the core group writes, and a patch shows there',
    run: async (t) => {
      const { metadata } = expectStatus(await t.get(newPath(t)), 200);
      const watch = await t.watch(`${newPath(t)}?resourceVersion=${metadata.resourceVersion}`);
      expectStatus(await t.post(t.path('events'), coreEvent(t, 'e')), 201);
      const added = await watch.next();
      assert.deepEqual([added?.type, added?.object.note], ['ADDED', 'it was told']);
      const series = { count: 2, lastObservedTime: '2026-01-02T03:06:05.000001Z' };
      expectStatus(await t.patch(newPath(t, 'e'), 'strategic', { series }), 200);
      const modified = await watch.next();
      watch.end();
      assert.deepEqual([modified?.type, modified?.object.series.count], ['MODIFIED', 2]);
      const core = expectStatus(await t.get(t.path('events', 'e')), 200);
      assert.equal(core.series.count, 2);
      assert.equal(core.message, 'it was told', 'the rest is as it was');
    },
  },
  {
    name: 'events.k8s.io selects by what events regard, and is as wide a table as the core group',
    run: async (t) => {
      expectStatus(await t.post(newPath(t), newEvent(t, 'e')), 201);
      const other = { regarding: { kind: 'Pod', namespace: t.namespace, name: 'q' } };
      expectStatus(await t.post(newPath(t), newEvent(t, 'f', other)), 201);
      const query = `?fieldSelector=${encodeURIComponent('regarding.name=q')}`;
      const list = expectStatus(await t.get(`${newPath(t)}${query}`), 200);
      assert.deepEqual(
        list.items.map((each: Json) => each.metadata.name),
        ['f'],
      );
      const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
      const table = expectStatus(await t.call('GET', newPath(t, 'f'), undefined, { accept }), 200);
      const core = expectStatus(await t.call('GET', t.path('events', 'f'), undefined, { accept }), 200);
      const object = core.columnDefinitions.findIndex((each: Json) => each.name === 'Object');
      assert.equal(table.rows[0].cells[object], core.rows[0].cells[object]);
      assert.equal(table.rows[0].cells.length, core.rows[0].cells.length);
    },
  },
  {
    name: 'events.k8s.io is strict with new events, the core group is not',
    run: async (t) => {
      const { reportingInstance: _, ...without } = newEvent(t, 'e', { deprecatedCount: 2 });
      const refused = expectStatus(await t.post(newPath(t), without), 422, 'Invalid');
      assert.match(refused.message, /reportingInstance: Required value/);
      assert.match(refused.message, /count: Invalid value: "": needs to be unset/);
      const elsewhere = { involvedObject: { kind: 'Pod', namespace: 'default', name: 'p' } };
      const stray = expectStatus(
        await t.post(t.path('events'), coreEvent(t, 'e', elsewhere)),
        422,
        'Invalid',
      );
      assert.match(
        stray.message,
        /involvedObject\.namespace: Invalid value: "default": does not match event\.namespace/,
      );
    },
  },
  {
    name: 'an event is deleted in either group',
    run: async (t) => {
      expectStatus(await t.post(t.path('events'), coreEvent(t, 'e')), 201);
      expectStatus(await t.delete(newPath(t, 'e')), 200);
      expectStatus(await t.get(t.path('events', 'e')), 404, 'NotFound');
    },
  },
];
