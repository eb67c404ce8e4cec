/** Deletion: preconditions, finalizers, owners, collections, namespaces. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Case, configMap, expectStatus, type Session } from './client.ts';

/** A cluster's controllers look again after a while, at a namespace that something held after half a minute. */
async function untilGone(t: Session, path: string): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; await sleep(50))
    if ((await t.get(path)).status === 404) return;
  assert.fail(`${path} is still there after 60 s`);
}

const options = (extra: object) => ({ apiVersion: 'v1', kind: 'DeleteOptions', ...extra });
const owner = (object: { metadata: { name: string; uid: string } }, extra: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  name: object.metadata.name,
  uid: object.metadata.uid,
  ...extra,
});

/** The cases. */
export const deletionCases: readonly Case[] = [
  {
    name: 'delete answers a Status with details, and the object is gone',
    run: async (t) => {
      const made = await t.configMap('d');
      const body = expectStatus(await t.delete(t.path('configmaps', 'd')), 200);
      assert.equal(body.status, 'Success');
      assert.deepEqual(body.details, { name: 'd', kind: 'configmaps', uid: made.metadata.uid });
      expectStatus(await t.get(t.path('configmaps', 'd')), 404);
    },
  },
  {
    name: 'delete of what is not there is 404',
    run: async (t) => {
      expectStatus(await t.delete(t.path('configmaps', 'none')), 404, 'NotFound');
    },
  },
  {
    name: 'delete with another uid is 409 and deletes nothing',
    run: async (t) => {
      await t.configMap('d');
      const body = options({ preconditions: { uid: '00000000-0000-0000-0000-000000000000' } });
      expectStatus(await t.delete(t.path('configmaps', 'd'), body), 409, 'Conflict');
      expectStatus(await t.get(t.path('configmaps', 'd')), 200);
    },
  },
  {
    name: 'delete with another resourceVersion is 409',
    run: async (t) => {
      await t.configMap('d');
      expectStatus(
        await t.delete(t.path('configmaps', 'd'), options({ preconditions: { resourceVersion: '1' } })),
        409,
        'Conflict',
      );
    },
  },
  {
    name: 'dry run of a delete deletes nothing',
    run: async (t) => {
      await t.configMap('d');
      expectStatus(await t.delete(`${t.path('configmaps', 'd')}?dryRun=All`), 200);
      expectStatus(await t.get(t.path('configmaps', 'd')), 200);
    },
  },
  {
    name: 'an unknown propagation policy is refused',
    run: async (t) => {
      await t.configMap('d');
      const { status } = await t.delete(
        t.path('configmaps', 'd'),
        options({ propagationPolicy: 'Sideways' }),
      );
      assert.ok(status === 400 || status === 422);
    },
  },
  {
    name: 'a finalizer holds an object back until it is removed',
    run: async (t) => {
      await t.configMap('d', { metadata: { name: 'd', finalizers: ['example.com/hold'] } });
      const body = expectStatus(await t.delete(t.path('configmaps', 'd')), 200);
      assert.ok(body.metadata.deletionTimestamp);
      expectStatus(await t.get(t.path('configmaps', 'd')), 200);
      expectStatus(
        await t.patch(t.path('configmaps', 'd'), 'merge', { metadata: { finalizers: null } }),
        200,
      );
      expectStatus(await t.get(t.path('configmaps', 'd')), 404);
    },
  },
  {
    name: 'no finalizer can be added to what is being deleted',
    run: async (t) => {
      await t.configMap('d', { metadata: { name: 'd', finalizers: ['example.com/hold'] } });
      await t.delete(t.path('configmaps', 'd'));
      const patch = { metadata: { finalizers: ['example.com/hold', 'example.com/more'] } };
      expectStatus(await t.patch(t.path('configmaps', 'd'), 'merge', patch), 422, 'Invalid');
      await t.patch(t.path('configmaps', 'd'), 'merge', { metadata: { finalizers: null } });
    },
  },
  {
    name: 'a deletionTimestamp cannot be set by an update',
    run: async (t) => {
      await t.configMap('d');
      const body = await t.patch(t.path('configmaps', 'd'), 'merge', {
        metadata: { deletionTimestamp: '2030-01-01T00:00:00Z' },
      });
      assert.equal((await t.get(t.path('configmaps', 'd'))).body.metadata.deletionTimestamp, undefined);
      assert.ok(body.status === 200 || body.status === 422);
    },
  },
  {
    name: 'dependents go after their owner',
    run: async (t) => {
      const made = await t.configMap('owner');
      await t.configMap('kid', { metadata: { name: 'kid', ownerReferences: [owner(made)] } });
      await t.delete(t.path('configmaps', 'owner'), options({ propagationPolicy: 'Background' }));
      await untilGone(t, t.path('configmaps', 'kid'));
    },
  },
  {
    name: 'a dependent of an owner that never was goes, too',
    run: async (t) => {
      const never = { metadata: { name: 'never', uid: '11111111-2222-3333-4444-555555555555' } };
      await t.configMap('kid', { metadata: { name: 'kid', ownerReferences: [owner(never)] } });
      await untilGone(t, t.path('configmaps', 'kid'));
    },
  },
  {
    name: 'foreground: the owner stays until blocking dependents are gone',
    run: async (t) => {
      const made = await t.configMap('owner');
      const reference = owner(made, { blockOwnerDeletion: true });
      await t.configMap('kid', {
        metadata: { name: 'kid', ownerReferences: [reference], finalizers: ['example.com/hold'] },
      });
      await t.delete(t.path('configmaps', 'owner'), options({ propagationPolicy: 'Foreground' }));
      await sleep(300);
      const waiting = expectStatus(await t.get(t.path('configmaps', 'owner')), 200);
      assert.ok(waiting.metadata.finalizers.includes('foregroundDeletion'));
      await t.patch(t.path('configmaps', 'kid'), 'merge', { metadata: { finalizers: null } });
      await untilGone(t, t.path('configmaps', 'kid'));
      await untilGone(t, t.path('configmaps', 'owner'));
    },
  },
  {
    name: 'orphan: dependents stay, without their owner',
    run: async (t) => {
      const made = await t.configMap('owner');
      await t.configMap('kid', { metadata: { name: 'kid', ownerReferences: [owner(made)] } });
      await t.delete(t.path('configmaps', 'owner'), options({ propagationPolicy: 'Orphan' }));
      await untilGone(t, t.path('configmaps', 'owner'));
      const kid = expectStatus(await t.get(t.path('configmaps', 'kid')), 200);
      assert.equal((kid.metadata.ownerReferences ?? []).length, 0);
    },
  },
  {
    name: 'a collection is deleted by selector',
    run: async (t) => {
      await t.configMap('a', { metadata: { name: 'a', labels: { go: 'yes' } } });
      await t.configMap('b', { metadata: { name: 'b', labels: { go: 'yes' } } });
      await t.configMap('c');
      expectStatus(await t.delete(`${t.path('configmaps')}?labelSelector=go%3Dyes`), 200);
      expectStatus(await t.get(t.path('configmaps', 'a')), 404);
      expectStatus(await t.get(t.path('configmaps', 'b')), 404);
      expectStatus(await t.get(t.path('configmaps', 'c')), 200);
    },
  },
  {
    name: 'a namespace goes with everything in it, and takes nothing new meanwhile',
    run: async (t) => {
      const name = `${t.namespace}-x`;
      expectStatus(
        await t.post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }),
        201,
      );
      const held = configMap('held', { metadata: { name: 'held', finalizers: ['example.com/hold'] } });
      expectStatus(await t.post(`/api/v1/namespaces/${name}/configmaps`, held), 201);
      const going = expectStatus(await t.delete(`/api/v1/namespaces/${name}`), 200);
      assert.equal(going.status?.phase ?? 'Terminating', 'Terminating');
      const refused = expectStatus(
        await t.post(`/api/v1/namespaces/${name}/configmaps`, configMap('late')),
        403,
        'Forbidden',
      );
      assert.match(refused.message, /because it is being terminated/);
      for (let tries = 0; tries < 100; tries += 1) {
        const { status } = await t.patch(`/api/v1/namespaces/${name}/configmaps/held`, 'merge', {
          metadata: { finalizers: null },
        });
        if (status === 404) break;
        await sleep(50);
      }
      await untilGone(t, `/api/v1/namespaces/${name}`);
    },
  },
  {
    name: 'the namespace default cannot be deleted',
    run: async (t) => {
      expectStatus(await t.delete('/api/v1/namespaces/default'), 403, 'Forbidden');
    },
  },
];
