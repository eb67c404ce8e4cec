/** Server-side apply and managed fields. */
import assert from 'node:assert/strict';
import { type Answer, type Case, expectStatus, type Json, type Session } from './client.ts';

function apply(
  t: Session,
  manager: string,
  name: string,
  data: Record<string, string>,
  force = false,
): Promise<Answer> {
  const query = `?fieldManager=${manager}${force ? '&force=true' : ''}`;
  return t.patch(t.path('configmaps', name) + query, 'apply', {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data,
  });
}

const managers = (body: Json) =>
  body.metadata.managedFields.map((each: Json) => `${each.manager}/${each.operation}`).sort();
const fieldsOf = (body: Json, manager: string) => {
  const entry = body.metadata.managedFields.find((each: Json) => each.manager === manager);
  return Object.keys(entry?.fieldsV1['f:data'] ?? {})
    .filter((key) => key !== '.')
    .sort();
};

/** The cases. */
export const applyCases: readonly Case[] = [
  {
    name: 'apply makes what is not there, owned by its manager',
    run: async (t) => {
      const body = expectStatus(await apply(t, 'one', 'a', { x: '1' }), 201);
      assert.deepEqual(managers(body), ['one/Apply']);
      assert.deepEqual(fieldsOf(body, 'one'), ['f:x']);
    },
  },
  {
    name: 'apply without a manager is refused',
    run: async (t) => {
      const { status } = await t.patch(t.path('configmaps', 'a'), 'apply', {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'a' },
      });
      assert.ok(status === 400 || status === 422);
    },
  },
  {
    name: 'apply of the same changes nothing',
    run: async (t) => {
      const first = expectStatus(await apply(t, 'one', 'a', { x: '1' }), 201);
      const again = expectStatus(await apply(t, 'one', 'a', { x: '1' }), 200);
      assert.equal(again.metadata.resourceVersion, first.metadata.resourceVersion);
    },
  },
  {
    name: 'two managers own their own fields of one object',
    run: async (t) => {
      await apply(t, 'one', 'a', { x: '1' });
      const body = expectStatus(await apply(t, 'two', 'a', { y: '2' }), 200);
      assert.deepEqual(body.data, { x: '1', y: '2' });
      assert.deepEqual(fieldsOf(body, 'one'), ['f:x']);
      assert.deepEqual(fieldsOf(body, 'two'), ['f:y']);
    },
  },
  {
    name: "changing another's field is a conflict that names manager and field",
    run: async (t) => {
      await apply(t, 'one', 'a', { x: '1' });
      const body = expectStatus(await apply(t, 'two', 'a', { x: '2' }), 409, 'Conflict');
      assert.match(body.message, /conflict with "one"/);
      assert.deepEqual(
        body.details.causes.map((each: Json) => each.field),
        ['.data.x'],
      );
      assert.equal(body.details.causes[0].reason, 'FieldManagerConflict');
    },
  },
  {
    name: 'force takes a field over',
    run: async (t) => {
      await apply(t, 'one', 'a', { x: '1', z: '1' });
      const body = expectStatus(await apply(t, 'two', 'a', { x: '2' }, true), 200);
      assert.equal(body.data.x, '2');
      assert.deepEqual(fieldsOf(body, 'one'), ['f:z']);
      assert.deepEqual(fieldsOf(body, 'two'), ['f:x']);
    },
  },
  {
    name: 'equal values are shared without conflict',
    run: async (t) => {
      await apply(t, 'one', 'a', { x: '1' });
      const body = expectStatus(await apply(t, 'two', 'a', { x: '1' }), 200);
      assert.deepEqual(fieldsOf(body, 'one'), ['f:x']);
      assert.deepEqual(fieldsOf(body, 'two'), ['f:x']);
    },
  },
  {
    name: 'a field that its only owner leaves out is removed',
    run: async (t) => {
      await apply(t, 'one', 'a', { x: '1', y: '1' });
      assert.deepEqual(expectStatus(await apply(t, 'one', 'a', { x: '1' }), 200).data, { x: '1' });
    },
  },
  {
    name: 'a shared field that one owner leaves out stays',
    run: async (t) => {
      await apply(t, 'one', 'a', { x: '1', y: '1' });
      await apply(t, 'two', 'a', { y: '1' });
      const body = expectStatus(await apply(t, 'one', 'a', { x: '1' }), 200);
      assert.deepEqual(body.data, { x: '1', y: '1' });
    },
  },
  {
    name: 'an update takes the fields that it changes',
    run: async (t) => {
      await apply(t, 'one', 'a', { x: '1', y: '1' });
      const body = expectStatus(
        await t.patch(`${t.path('configmaps', 'a')}?fieldManager=editor`, 'merge', { data: { x: '2' } }),
        200,
      );
      assert.deepEqual(fieldsOf(body, 'one'), ['f:y']);
      assert.deepEqual(fieldsOf(body, 'editor'), ['f:x']);
      assert.deepEqual(managers(body), ['editor/Update', 'one/Apply']);
    },
  },
  {
    name: 'apply over a field of an update is a conflict',
    run: async (t) => {
      await t.configMap('a');
      const body = expectStatus(await apply(t, 'one', 'a', { a: '2' }), 409, 'Conflict');
      assert.match(body.message, /conflict with "contract-suite"/);
    },
  },
  {
    name: 'apply merges keyed lists by their keys',
    run: async (t) => {
      const service = (ports: Json) => ({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 's' },
        spec: { ports },
      });
      const path = t.path('services', 's');
      expectStatus(
        await t.patch(`${path}?fieldManager=one`, 'apply', service([{ name: 'a', port: 80 }])),
        201,
      );
      const both = expectStatus(
        await t.patch(`${path}?fieldManager=two`, 'apply', service([{ name: 'b', port: 81 }])),
        200,
      );
      assert.deepEqual(
        both.spec.ports.map((each: Json) => each.port),
        [80, 81],
      );
      const one = expectStatus(
        await t.patch(`${path}?fieldManager=two`, 'apply', service([{ name: 'c', port: 82 }])),
        200,
      );
      assert.deepEqual(one.spec.ports.map((each: Json) => each.port).sort(), [80, 82]);
    },
  },
  {
    name: 'apply with managedFields in the body is refused',
    run: async (t) => {
      const body = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {
          name: 'a',
          managedFields: [
            { manager: 'x', operation: 'Apply', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: {} },
          ],
        },
      };
      expectStatus(
        await t.patch(`${t.path('configmaps', 'a')}?fieldManager=one`, 'apply', body),
        400,
        'BadRequest',
      );
    },
  },
  {
    name: 'dry run of an apply keeps nothing',
    run: async (t) => {
      const path = `${t.path('configmaps', 'a')}?fieldManager=one&dryRun=All`;
      expectStatus(
        await t.patch(path, 'apply', {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: 'a' },
          data: { x: '1' },
        }),
        201,
      );
      expectStatus(await t.get(t.path('configmaps', 'a')), 404);
    },
  },
  {
    name: 'a YAML body is applied',
    run: async (t) => {
      const text = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: "1"\n';
      const answer = await t.call('PATCH', `${t.path('configmaps', 'a')}?fieldManager=one`, text, {
        type: 'application/apply-patch+yaml',
      });
      assert.equal(expectStatus(answer, 201).data.x, '1');
    },
  },
];
