/** Create, get, update and their locks. */
import assert from 'node:assert/strict';
import { type Case, configMap, expectStatus, pod } from './client.ts';

/** The cases. */
export const crudCases: readonly Case[] = [
  {
    name: 'create answers 201 with uid, resourceVersion and creationTimestamp',
    run: async (t) => {
      const { metadata, kind, apiVersion } = await t.configMap('a');
      assert.equal(kind, 'ConfigMap');
      assert.equal(apiVersion, 'v1');
      assert.equal(metadata.namespace, t.namespace);
      assert.match(metadata.uid, /^[0-9a-f-]{36}$/);
      assert.match(metadata.resourceVersion, /^\d+$/);
      assert.match(metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    },
  },
  {
    name: 'get answers what create answered',
    run: async (t) => {
      const made = await t.configMap('a');
      assert.deepEqual(expectStatus(await t.get(t.path('configmaps', 'a')), 200), made);
    },
  },
  {
    name: 'get of what is not there is 404 NotFound with details',
    run: async (t) => {
      const body = expectStatus(await t.get(t.path('configmaps', 'none')), 404, 'NotFound');
      assert.equal(body.message, 'configmaps "none" not found');
      assert.deepEqual(body.details, { name: 'none', kind: 'configmaps' });
    },
  },
  {
    name: 'create of an existing name is 409 AlreadyExists',
    run: async (t) => {
      await t.configMap('a');
      const body = expectStatus(await t.post(t.path('configmaps'), configMap('a')), 409, 'AlreadyExists');
      assert.equal(body.message, 'configmaps "a" already exists');
    },
  },
  {
    name: 'create with a resourceVersion is refused',
    run: async (t) => {
      const body = configMap('a', { metadata: { name: 'a', resourceVersion: '1' } });
      assert.ok((await t.post(t.path('configmaps'), body)).status >= 400);
    },
  },
  {
    name: 'create with another namespace in the body is 400',
    run: async (t) => {
      const body = configMap('a', { metadata: { name: 'a', namespace: 'default' } });
      expectStatus(await t.post(t.path('configmaps'), body), 400, 'BadRequest');
    },
  },
  {
    name: 'create in a namespace that is not there is 404',
    run: async (t) => {
      const body = expectStatus(
        await t.post('/api/v1/namespaces/not-there-x/configmaps', configMap('a')),
        404,
        'NotFound',
      );
      assert.equal(body.message, 'namespaces "not-there-x" not found');
    },
  },
  {
    name: 'create with another kind is 400',
    run: async (t) => {
      expectStatus(
        await t.post(t.path('configmaps'), { ...configMap('a'), kind: 'Secret' }),
        400,
        'BadRequest',
      );
    },
  },
  {
    name: 'create with another apiVersion is 400',
    run: async (t) => {
      expectStatus(
        await t.post(t.path('configmaps'), { ...configMap('a'), apiVersion: 'v2' }),
        400,
        'BadRequest',
      );
    },
  },
  {
    name: 'create without a kind takes it from the path',
    run: async (t) => {
      const { kind: _kind, apiVersion: _version, ...body } = configMap('a');
      assert.equal(expectStatus(await t.post(t.path('configmaps'), body), 201).kind, 'ConfigMap');
    },
  },
  {
    name: 'generateName makes names of five more letters, different ones',
    run: async (t) => {
      const body = configMap('', { metadata: { generateName: 'gen-' } });
      const names = [1, 2, 3].map(
        async () => expectStatus(await t.post(t.path('configmaps'), body), 201).metadata.name,
      );
      const made = await Promise.all(names);
      for (const name of made) assert.match(name, /^gen-[a-z0-9]{5}$/);
      assert.equal(new Set(made).size, 3);
    },
  },
  {
    name: 'a body that is no JSON is 400',
    run: async (t) => {
      expectStatus(await t.call('POST', t.path('configmaps'), '{nonsense'), 400, 'BadRequest');
    },
  },
  {
    name: 'a YAML body is taken',
    run: async (t) => {
      const text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-yaml}\ndata: {a: "1"}\n';
      const answer = await t.call('POST', t.path('configmaps'), text, { type: 'application/yaml' });
      assert.equal(expectStatus(answer, 201).data.a, '1');
    },
  },
  {
    name: 'an unknown media type is 415',
    run: async (t) => {
      expectStatus(
        await t.call('POST', t.path('configmaps'), 'x', { type: 'text/csv' }),
        415,
        'UnsupportedMediaType',
      );
    },
  },
  {
    name: 'an Accept header that nothing fits is 406',
    run: async (t) => {
      const answer = await t.call('GET', t.path('configmaps'), undefined, { accept: 'text/csv' });
      expectStatus(answer, 406, 'NotAcceptable');
    },
  },
  {
    name: 'update changes data and resourceVersion, not uid or creationTimestamp',
    run: async (t) => {
      const made = await t.configMap('a');
      const now = expectStatus(await t.put(t.path('configmaps', 'a'), { ...made, data: { a: '2' } }), 200);
      assert.equal(now.data.a, '2');
      assert.notEqual(now.metadata.resourceVersion, made.metadata.resourceVersion);
      assert.equal(now.metadata.uid, made.metadata.uid);
      assert.equal(now.metadata.creationTimestamp, made.metadata.creationTimestamp);
    },
  },
  {
    name: 'update that changes nothing keeps the resourceVersion',
    run: async (t) => {
      const made = await t.configMap('a');
      const now = expectStatus(await t.put(t.path('configmaps', 'a'), made), 200);
      assert.equal(now.metadata.resourceVersion, made.metadata.resourceVersion);
    },
  },
  {
    name: 'update with an old resourceVersion is 409 Conflict',
    run: async (t) => {
      const made = await t.configMap('a');
      await t.put(t.path('configmaps', 'a'), { ...made, data: { a: '2' } });
      const body = expectStatus(
        await t.put(t.path('configmaps', 'a'), { ...made, data: { a: '3' } }),
        409,
        'Conflict',
      );
      assert.match(
        body.message,
        /^Operation cannot be fulfilled on configmaps "a": the object has been modified/,
      );
    },
  },
  {
    name: 'update without a resourceVersion is not locked',
    run: async (t) => {
      await t.configMap('a');
      expectStatus(await t.put(t.path('configmaps', 'a'), configMap('a', { data: { b: '1' } })), 200);
    },
  },
  {
    name: 'update with another uid is 409 Conflict',
    run: async (t) => {
      await t.configMap('a');
      const body = configMap('a', { metadata: { name: 'a', uid: '00000000-0000-0000-0000-000000000000' } });
      const answer = expectStatus(await t.put(t.path('configmaps', 'a'), body), 409, 'Conflict');
      assert.match(answer.message, /Precondition failed: UID in precondition/);
    },
  },
  {
    name: 'update with another name in the body is 400',
    run: async (t) => {
      await t.configMap('a');
      expectStatus(await t.put(t.path('configmaps', 'a'), configMap('b')), 400, 'BadRequest');
    },
  },
  {
    name: 'update of what is not there is 404',
    run: async (t) => {
      expectStatus(await t.put(t.path('pods', 'none'), pod('none')), 404, 'NotFound');
    },
  },
  {
    name: 'PUT of a lease that is not there creates it',
    run: async (t) => {
      const path = `/apis/coordination.k8s.io/v1/namespaces/${t.namespace}/leases/l`;
      const lease = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: 'l' },
        spec: { holderIdentity: 'x' },
      };
      expectStatus(await t.put(path, lease), 201);
    },
  },
  {
    name: 'of twenty racing updates with one resourceVersion exactly one wins',
    run: async (t) => {
      const made = await t.configMap('a');
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, at) =>
          t.put(t.path('configmaps', 'a'), { ...made, data: { a: `race-${at}` } }),
        ),
      );
      assert.equal(answers.filter((each) => each.status === 200).length, 1);
      assert.equal(answers.filter((each) => each.status === 409).length, 19);
    },
  },
  {
    name: 'of ten racing creates of one name exactly one wins',
    run: async (t) => {
      const answers = await Promise.all(
        Array.from({ length: 10 }, () => t.post(t.path('configmaps'), configMap('race'))),
      );
      assert.deepEqual(answers.map((each) => each.status).sort(), [
        201,
        ...Array.from({ length: 9 }, () => 409),
      ]);
    },
  },
  {
    name: 'dry run of a create answers the object and keeps nothing',
    run: async (t) => {
      const body = expectStatus(await t.post(`${t.path('configmaps')}?dryRun=All`, configMap('a')), 201);
      assert.ok(body.metadata.uid);
      expectStatus(await t.get(t.path('configmaps', 'a')), 404);
    },
  },
  {
    name: 'dry run of an update keeps nothing',
    run: async (t) => {
      const made = await t.configMap('a');
      const answer = await t.put(`${t.path('configmaps', 'a')}?dryRun=All`, { ...made, data: { a: '9' } });
      assert.equal(expectStatus(answer, 200).data.a, '9');
      assert.equal((await t.get(t.path('configmaps', 'a'))).body.data.a, '1');
    },
  },
  {
    name: 'dryRun with another value is refused',
    run: async (t) => {
      assert.equal((await t.post(`${t.path('configmaps')}?dryRun=some`, configMap('a'))).status, 422);
    },
  },
  {
    name: 'unknown fields: warned of by default, refused by Strict, silent with Ignore',
    run: async (t) => {
      const body = (name: string) => ({ ...configMap(name), dta: {} });
      const warned = await t.post(t.path('configmaps'), body('a'));
      expectStatus(warned, 201);
      assert.match(String(warned.headers.warning), /unknown field.*dta/);
      const strict = expectStatus(
        await t.post(`${t.path('configmaps')}?fieldValidation=Strict`, body('b')),
        400,
        'BadRequest',
      );
      assert.match(strict.message, /strict decoding error: unknown field "dta"/);
      const ignored = await t.post(`${t.path('configmaps')}?fieldValidation=Ignore`, body('c'));
      expectStatus(ignored, 201);
      assert.equal(ignored.headers.warning, undefined);
    },
  },
  {
    name: 'double keys are refused by Strict',
    run: async (t) => {
      const text = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"data":{"a":"1","a":"2"}}`;
      const body = expectStatus(
        await t.call('POST', `${t.path('configmaps')}?fieldValidation=Strict`, text),
        400,
        'BadRequest',
      );
      assert.match(body.message, /duplicate field "data\.a"/);
    },
  },
  {
    name: 'stringData of a secret becomes data and is not kept',
    run: async (t) => {
      const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { k: 'v' } };
      const body = expectStatus(await t.post(t.path('secrets'), secret), 201);
      assert.equal(body.data.k, Buffer.from('v').toString('base64'));
      assert.equal(body.stringData, undefined);
      assert.equal(body.type, 'Opaque');
    },
  },
  {
    name: 'an immutable ConfigMap stays what it is',
    run: async (t) => {
      const made = await t.configMap('i', { immutable: true });
      expectStatus(await t.put(t.path('configmaps', 'i'), { ...made, data: { a: '2' } }), 422, 'Invalid');
      expectStatus(await t.put(t.path('configmaps', 'i'), { ...made, immutable: false }), 422, 'Invalid');
    },
  },
  {
    name: 'a method that a path does not have is 405',
    run: async (t) => {
      expectStatus(await t.put(t.path('configmaps'), configMap('a')), 405, 'MethodNotAllowed');
      expectStatus(await t.post(t.path('configmaps', 'a'), configMap('a')), 405, 'MethodNotAllowed');
    },
  },
  {
    name: 'an unknown resource is 404',
    run: async (t) => {
      assert.equal((await t.get(t.path('nonsenses'))).status, 404);
      assert.equal((await t.get('/apis/none.example.com/v1/things')).status, 404);
    },
  },
];
