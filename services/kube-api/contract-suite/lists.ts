/** Lists, pages and the forms of answers. */
import assert from 'node:assert/strict';
import { type Case, expectStatus, type Session } from './client.ts';

async function fill(t: Session, count: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, at) =>
      t.configMap(`m-${String(at).padStart(2, '0')}`, {
        metadata: { name: `m-${String(at).padStart(2, '0')}`, labels: { fill: 'yes' } },
      }),
    ),
  );
}

const filled = '?labelSelector=fill%3Dyes';
const names = (body: { items: { metadata: { name: string } }[] }) =>
  body.items.map((each) => each.metadata.name);

/** The cases. */
export const listCases: readonly Case[] = [
  {
    name: 'a list has kind, apiVersion and a resourceVersion, and is sorted by name',
    run: async (t) => {
      await fill(t, 5);
      const body = expectStatus(await t.get(t.path('configmaps') + filled), 200);
      assert.equal(body.kind, 'ConfigMapList');
      assert.equal(body.apiVersion, 'v1');
      assert.match(body.metadata.resourceVersion, /^\d+$/);
      assert.deepEqual(names(body), ['m-00', 'm-01', 'm-02', 'm-03', 'm-04']);
    },
  },
  {
    name: 'an empty list has an empty items',
    run: async (t) => {
      assert.deepEqual(expectStatus(await t.get(t.path('pods')), 200).items, []);
    },
  },
  {
    name: 'a list over all namespaces holds those of this one',
    run: async (t) => {
      await t.configMap('mine');
      const body = expectStatus(await t.get('/api/v1/configmaps'), 200);
      assert.ok(
        body.items.some(
          (each: { metadata: { namespace: string; name: string } }) =>
            each.metadata.namespace === t.namespace && each.metadata.name === 'mine',
        ),
      );
    },
  },
  {
    name: 'pages: limit and continue give everything once',
    run: async (t) => {
      await fill(t, 7);
      const seen: string[] = [];
      let token = '';
      do {
        const more = token === '' ? '' : `&continue=${token}`;
        const body = expectStatus(await t.get(`${t.path('configmaps')}${filled}&limit=3${more}`), 200);
        seen.push(...names(body));
        assert.ok(body.items.length <= 3);
        token = body.metadata.continue ?? '';
      } while (token !== '');
      assert.deepEqual(
        seen,
        Array.from({ length: 7 }, (_, at) => `m-0${at}`),
      );
    },
  },
  {
    name: 'pages come from one moment, whatever happens meanwhile',
    run: async (t) => {
      await fill(t, 6);
      const first = expectStatus(await t.get(`${t.path('configmaps')}?limit=3`), 200);
      await t.configMap('m-99');
      await t.delete(t.path('configmaps', 'm-05'));
      const next = expectStatus(
        await t.get(`${t.path('configmaps')}?limit=50&continue=${first.metadata.continue}`),
        200,
      );
      const all = [...names(first), ...names(next)];
      assert.ok(all.includes('m-05'));
      assert.ok(!all.includes('m-99'));
      assert.equal(next.metadata.resourceVersion, first.metadata.resourceVersion);
    },
  },
  {
    name: 'a page tells how many remain',
    run: async (t) => {
      await fill(t, 5);
      const list = expectStatus(await t.get(`${t.path('configmaps')}?limit=2`), 200);
      const whole = expectStatus(await t.get(t.path('configmaps')), 200);
      assert.equal(list.metadata.remainingItemCount, whole.items.length - 2);
    },
  },
  {
    name: 'a continue token that is none is refused',
    run: async (t) => {
      const { status } = await t.get(`${t.path('configmaps')}?limit=2&continue=!!`);
      assert.equal(status, 400);
    },
  },
  {
    name: 'resourceVersion=0 lists what there is',
    run: async (t) => {
      await t.configMap('a');
      assert.ok(
        names(expectStatus(await t.get(`${t.path('configmaps')}?resourceVersion=0`), 200)).length >= 0,
      );
    },
  },
  {
    name: 'a resourceVersion from the future is 504 Timeout',
    run: async (t) => {
      const body = expectStatus(
        await t.get(`${t.path('configmaps')}?resourceVersion=999999999999&resourceVersionMatch=NotOlderThan`),
        504,
        'Timeout',
      );
      assert.match(body.message, /Too large resource version/);
    },
  },
  {
    name: 'a resourceVersion that is no number is refused',
    run: async (t) => {
      const { status } = await t.get(`${t.path('configmaps')}?resourceVersion=abc`);
      assert.equal(status, 400);
    },
  },
  {
    name: 'resourceVersionMatch without resourceVersion is refused',
    run: async (t) => {
      const { status } = await t.get(`${t.path('configmaps')}?resourceVersionMatch=Exact`);
      assert.ok(status === 400 || status === 422);
    },
  },
  {
    name: 'a table has columns and a row for each object',
    run: async (t) => {
      await t.configMap('a');
      const answer = await t.call(
        'GET',
        `${t.path('configmaps')}?fieldSelector=metadata.name%3Da`,
        undefined,
        {
          accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
        },
      );
      const body = expectStatus(answer, 200);
      assert.equal(body.kind, 'Table');
      assert.deepEqual(
        body.columnDefinitions.map((each: { name: string }) => each.name),
        ['Name', 'Data', 'Age'],
      );
      assert.equal(body.rows.length, 1);
      assert.equal(body.rows[0].cells[0], 'a');
      assert.equal(body.rows[0].object.kind, 'PartialObjectMetadata');
    },
  },
  {
    name: 'a table of one object, with the object on demand',
    run: async (t) => {
      await t.configMap('a');
      const answer = await t.call('GET', `${t.path('configmaps', 'a')}?includeObject=Object`, undefined, {
        accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
      });
      assert.equal(expectStatus(answer, 200).rows[0].object.data.a, '1');
    },
  },
  {
    name: "a pod's table has the usual columns",
    run: async (t) => {
      await t.pod('p');
      const answer = await t.call('GET', t.path('pods'), undefined, {
        accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
      });
      const columns = expectStatus(answer, 200).columnDefinitions.map((each: { name: string }) => each.name);
      assert.deepEqual(columns.slice(0, 7), ['Name', 'Ready', 'Status', 'Restarts', 'Age', 'IP', 'Node']);
      assert.deepEqual(answer.body.rows[0].cells.slice(0, 3), ['p', '0/1', 'Pending']);
    },
  },
  {
    name: 'metadata alone is answered on demand',
    run: async (t) => {
      await t.configMap('a');
      const answer = await t.call('GET', t.path('configmaps', 'a'), undefined, {
        accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
      });
      const body = expectStatus(answer, 200);
      assert.equal(body.kind, 'PartialObjectMetadata');
      assert.equal(body.data, undefined);
      assert.equal(body.metadata.name, 'a');
    },
  },
];
