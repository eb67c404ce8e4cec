/** Label and field selectors. */
import assert from 'node:assert/strict';
import { type Case, expectStatus, type Session } from './client.ts';

async function three(t: Session): Promise<void> {
  await t.configMap('a', { metadata: { name: 'a', labels: { app: 'web', tier: 'front' } } });
  await t.configMap('b', { metadata: { name: 'b', labels: { app: 'db', tier: 'back' } } });
  await t.configMap('c', { metadata: { name: 'c', labels: { app: 'web' } } });
}

const table: [kind: 'labelSelector' | 'fieldSelector', selector: string, expected: string[]][] = [
  ['labelSelector', 'app=web', ['a', 'c']],
  ['labelSelector', 'app==db', ['b']],
  ['labelSelector', 'app!=web,app', ['b']],
  ['labelSelector', 'app in (web,db),tier', ['a', 'b']],
  ['labelSelector', 'app notin (db),app', ['a', 'c']],
  ['labelSelector', 'app,!tier', ['c']],
  ['labelSelector', 'app=none', []],
  ['fieldSelector', 'metadata.name=b', ['b']],
];

/** The cases. */
export const selectorCases: readonly Case[] = [
  ...table.map(([kind, selector, expected]) => ({
    name: `${kind} ${selector}`,
    run: async (t: Session) => {
      await three(t);
      const body = expectStatus(
        await t.get(`${t.path('configmaps')}?${kind}=${encodeURIComponent(selector)}`),
        200,
      );
      assert.deepEqual(
        body.items.map((each: { metadata: { name: string } }) => each.metadata.name),
        expected,
      );
    },
  })),
  {
    name: 'fieldSelector metadata.name!=x leaves one out',
    run: async (t) => {
      await three(t);
      const body = expectStatus(
        await t.get(`${t.path('configmaps')}?labelSelector=app&fieldSelector=metadata.name!%3Da`),
        200,
      );
      assert.deepEqual(
        body.items.map((each: { metadata: { name: string } }) => each.metadata.name),
        ['b', 'c'],
      );
    },
  },
  {
    name: 'fieldSelector by namespace over all namespaces',
    run: async (t) => {
      await three(t);
      const body = expectStatus(
        await t.get(`/api/v1/configmaps?labelSelector=app&fieldSelector=metadata.namespace%3D${t.namespace}`),
        200,
      );
      assert.equal(body.items.length, 3);
    },
  },
  {
    name: 'pods are selected by phase, node and restart policy',
    run: async (t) => {
      await t.pod('p1', { restartPolicy: 'Never' });
      await t.pod('p2');
      const select = async (selector: string) => {
        const body = expectStatus(
          await t.get(`${t.path('pods')}?fieldSelector=${encodeURIComponent(selector)}`),
          200,
        );
        return body.items.map((each: { metadata: { name: string } }) => each.metadata.name);
      };
      assert.deepEqual(await select('status.phase=Pending'), ['p1', 'p2']);
      assert.deepEqual(await select('spec.nodeName='), ['p1', 'p2']);
      assert.deepEqual(await select('spec.restartPolicy=Never'), ['p1']);
      assert.deepEqual(await select('status.phase!=Pending'), []);
    },
  },
  {
    name: 'a field that cannot be selected by is 400',
    run: async (t) => {
      const body = expectStatus(
        await t.get(`${t.path('configmaps')}?fieldSelector=data.a%3D1`),
        400,
        'BadRequest',
      );
      assert.match(
        body.message,
        /"data\.a" is not a known field selector: only "metadata\.name", "metadata\.namespace"/,
      );
    },
  },
  {
    name: 'a broken label selector is 400',
    run: async (t) => {
      expectStatus(await t.get(`${t.path('configmaps')}?labelSelector=a%20b%20c`), 400, 'BadRequest');
    },
  },
];
