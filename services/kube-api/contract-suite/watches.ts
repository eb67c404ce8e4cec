/** Watches. */
import assert from 'node:assert/strict';
import { type Case, expectStatus, type Session } from './client.ts';

async function revision(t: Session): Promise<string> {
  return expectStatus(await t.get(t.path('configmaps')), 200).metadata.resourceVersion;
}

/** The cases. */
export const watchCases: readonly Case[] = [
  {
    name: 'a watch from a revision sees what comes after: added, modified, deleted',
    run: async (t) => {
      const watch = await t.watch(`${t.path('configmaps')}?resourceVersion=${await revision(t)}`);
      const made = await t.configMap('w');
      await t.put(t.path('configmaps', 'w'), { ...made, data: { a: '2' } });
      await t.delete(t.path('configmaps', 'w'));
      const events = [await watch.next(), await watch.next(), await watch.next()];
      watch.end();
      assert.deepEqual(
        events.map((each) => each?.type),
        ['ADDED', 'MODIFIED', 'DELETED'],
      );
      assert.deepEqual(
        events.map((each) => each?.object.data.a),
        ['1', '2', '2'],
      );
      const revisions = events.map((each) => Number(each?.object.metadata.resourceVersion));
      assert.deepEqual(
        revisions,
        [...revisions].sort((a, b) => a - b),
      );
      assert.equal(new Set(revisions).size, 3);
    },
  },
  {
    name: 'a watch without a revision begins with what there is',
    run: async (t) => {
      await t.configMap('w');
      const watch = await t.watch(`${t.path('configmaps')}?fieldSelector=metadata.name%3Dw`);
      const event = await watch.next();
      watch.end();
      assert.equal(event?.type, 'ADDED');
      assert.equal(event?.object.metadata.name, 'w');
    },
  },
  {
    name: 'a watch from an earlier revision catches up',
    run: async (t) => {
      const start = await revision(t);
      await t.configMap('one');
      await t.configMap('two');
      const watch = await t.watch(`${t.path('configmaps')}?resourceVersion=${start}`);
      const seen = [await watch.next(), await watch.next()].map((each) => each?.object.metadata.name);
      watch.end();
      assert.deepEqual(seen, ['one', 'two']);
    },
  },
  {
    name: 'an object that leaves a label selection is deleted for that watch, and added when it comes back',
    run: async (t) => {
      const made = await t.configMap('w', { metadata: { name: 'w', labels: { on: 'yes' } } });
      const watch = await t.watch(
        `${t.path('configmaps')}?labelSelector=on%3Dyes&resourceVersion=${made.metadata.resourceVersion}`,
      );
      await t.patch(t.path('configmaps', 'w'), 'merge', { metadata: { labels: { on: 'no' } } });
      await t.patch(t.path('configmaps', 'w'), 'merge', { metadata: { labels: { on: 'yes' } } });
      const types = [await watch.next(), await watch.next()].map((each) => each?.type);
      watch.end();
      assert.deepEqual(types, ['DELETED', 'ADDED']);
    },
  },
  {
    name: 'a watch sees only its namespace',
    run: async (t) => {
      const watch = await t.watch(`${t.path('configmaps')}?resourceVersion=${await revision(t)}`);
      await t.post('/api/v1/namespaces/default/configmaps', {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: `other-${t.namespace}` },
      });
      await t.configMap('mine');
      const event = await watch.next();
      watch.end();
      await t.delete(`/api/v1/namespaces/default/configmaps/other-${t.namespace}`);
      assert.equal(event?.object.metadata.name, 'mine');
    },
  },
  {
    name: 'a watch ends after timeoutSeconds',
    run: async (t) => {
      const watch = await t.watch(
        `${t.path('configmaps')}?resourceVersion=${await revision(t)}&timeoutSeconds=1`,
      );
      assert.equal(await watch.next(), undefined);
    },
  },
  {
    name: 'a watch from the first revision tells all, or that it was compacted: 410 Expired',
    run: async (t) => {
      await t.configMap('w');
      const watch = await t.watch(`${t.path('configmaps')}?resourceVersion=1&timeoutSeconds=5`);
      const event = await watch.next();
      watch.end();
      if (event?.type === 'ADDED') return assert.equal(event.object.metadata.name, 'w');
      // Told as an event of the watch, or instead of it.
      const status = event?.type === 'ERROR' ? event.object : event;
      assert.equal(status?.code, 410);
      assert.match(status?.reason, /^(Expired|Gone)$/);
    },
  },
  {
    name: 'sendInitialEvents lists by watching and marks the end with a bookmark',
    run: async (t) => {
      await t.configMap('w');
      const query =
        'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dw';
      const watch = await t.watch(`${t.path('configmaps')}?${query}`);
      const first = await watch.next();
      const second = await watch.next();
      watch.end();
      assert.equal(first?.type, 'ADDED');
      assert.equal(second?.type, 'BOOKMARK');
      assert.equal(second?.object.metadata.annotations['k8s.io/initial-events-end'], 'true');
      assert.match(second?.object.metadata.resourceVersion, /^\d+$/);
    },
  },
  {
    name: 'sendInitialEvents without resourceVersionMatch is refused',
    run: async (t) => {
      const { status } = await t.get(
        `${t.path('configmaps')}?watch=true&sendInitialEvents=true&timeoutSeconds=1`,
      );
      assert.ok(status === 400 || status === 422);
    },
  },
  {
    name: 'a watch of one object by name',
    run: async (t) => {
      const made = await t.configMap('w');
      const watch = await t.watch(
        `${t.path('configmaps')}?fieldSelector=metadata.name%3Dw&resourceVersion=${made.metadata.resourceVersion}`,
      );
      await t.configMap('other');
      await t.delete(t.path('configmaps', 'w'));
      const event = await watch.next();
      watch.end();
      assert.equal(event?.type, 'DELETED');
      assert.equal(event?.object.metadata.name, 'w');
    },
  },
  {
    name: 'a broken selector is answered before a watch begins',
    run: async (t) => {
      expectStatus(await t.get(`${t.path('configmaps')}?watch=true&labelSelector=a%20b`), 400, 'BadRequest');
    },
  },
  {
    name: 'twenty watches see one change',
    run: async (t) => {
      const start = await revision(t);
      const watches = await Promise.all(
        Array.from({ length: 20 }, () => t.watch(`${t.path('configmaps')}?resourceVersion=${start}`)),
      );
      await t.configMap('w');
      const events = await Promise.all(watches.map((watch) => watch.next()));
      for (const watch of watches) watch.end();
      assert.ok(events.every((each) => each?.type === 'ADDED' && each.object.metadata.name === 'w'));
    },
  },
];
