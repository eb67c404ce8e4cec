/** JSON, merge and strategic merge patches. */
import assert from 'node:assert/strict';
import { type Case, expectStatus, type Json, type Session } from './client.ts';

/** Patches of a ConfigMap with data {a: '1'}: the kind, the patch, and the data or status that follows. */
const onData: [
  name: string,
  kind: 'json' | 'merge' | 'strategic',
  patch: unknown,
  expected: Json | number,
][] = [
  ['json add', 'json', [{ op: 'add', path: '/data/b', value: '2' }], { a: '1', b: '2' }],
  ['json replace', 'json', [{ op: 'replace', path: '/data/a', value: '2' }], { a: '2' }],
  [
    'json remove',
    'json',
    [
      { op: 'remove', path: '/data/a' },
      { op: 'add', path: '/data/c', value: '3' },
    ],
    { c: '3' },
  ],
  ['json move', 'json', [{ op: 'move', from: '/data/a', path: '/data/b' }], { b: '1' }],
  ['json copy', 'json', [{ op: 'copy', from: '/data/a', path: '/data/b' }], { a: '1', b: '1' }],
  [
    'json test that holds',
    'json',
    [
      { op: 'test', path: '/data/a', value: '1' },
      { op: 'replace', path: '/data/a', value: '9' },
    ],
    { a: '9' },
  ],
  ['json test that fails', 'json', [{ op: 'test', path: '/data/a', value: 'x' }], 422],
  ['json remove of nothing', 'json', [{ op: 'remove', path: '/data/none' }], 422],
  ['json unknown operation', 'json', [{ op: 'frob', path: '/data/a' }], 422],
  ['json that is no list', 'json', { a: 1 }, 400],
  ['json escaped pointer', 'json', [{ op: 'add', path: '/data/x~1y', value: '1' }], 422],
  ['merge adds and removes', 'merge', { data: { a: null, b: '2' } }, { b: '2' }],
  ['merge changes', 'merge', { data: { a: '2' } }, { a: '2' }],
  ['merge with a wrong type', 'merge', { data: { a: 5 } }, 422],
  ['strategic changes', 'strategic', { data: { b: '2' } }, { a: '1', b: '2' }],
  ['strategic removes', 'strategic', { data: { a: null, c: '1' } }, { c: '1' }],
  ['strategic replaces a map', 'strategic', { data: { $patch: 'replace', z: '1' } }, { z: '1' }],
];

const base = {
  containers: [
    {
      name: 'c',
      image: 'i:1',
      env: [
        { name: 'A', value: '1' },
        { name: 'B', value: '2' },
      ],
      ports: [{ containerPort: 80 }],
    },
  ],
};

/** Strategic patches of a service with two ports: the patch and what the ports then are. */
const service = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, finalizers: ['example.com/one'] },
  spec: {
    ports: [
      { name: 'a', port: 80 },
      { name: 'b', port: 81 },
    ],
    selector: { app: 'x' },
  },
});

const onPorts: [name: string, patch: unknown, expected: [string, number][]][] = [
  [
    'merges by key',
    { spec: { ports: [{ port: 80, name: 'changed' }] } },
    [
      ['changed', 80],
      ['b', 81],
    ],
  ],
  [
    'adds an entry',
    { spec: { ports: [{ port: 82, name: 'c' }] } },
    [
      ['c', 82],
      ['a', 80],
      ['b', 81],
    ],
  ],
  [
    'adds behind an entry that it changes',
    {
      spec: {
        ports: [
          { port: 80, name: 'x' },
          { port: 82, name: 'c' },
        ],
      },
    },
    [
      ['x', 80],
      ['c', 82],
      ['b', 81],
    ],
  ],
  ['deletes an entry', { spec: { ports: [{ port: 80, $patch: 'delete' }] } }, [['b', 81]]],
  [
    'replaces the list',
    { spec: { ports: [{ $patch: 'replace' }, { port: 90, name: 'only' }] } },
    [['only', 90]],
  ],
  [
    'sets the order',
    { spec: { '$setElementOrder/ports': [{ port: 81 }, { port: 80 }], ports: [{ port: 80, name: 'a' }] } },
    [
      ['b', 81],
      ['a', 80],
    ],
  ],
];

/** The cases. */
export const patchCases: readonly Case[] = [
  ...onData.map(([name, kind, patch, expected]) => ({
    name: `patch: ${name}`,
    run: async (t: Session) => {
      await t.configMap('p');
      const answer = await t.patch(t.path('configmaps', 'p'), kind, patch);
      if (typeof expected === 'number') expectStatus(answer, expected);
      else assert.deepEqual(expectStatus(answer, 200).data, expected);
    },
  })),
  ...onPorts.map(([name, patch, expected]) => ({
    name: `strategic merge of a list: ${name}`,
    run: async (t: Session) => {
      expectStatus(await t.post(t.path('services'), { ...service('s'), metadata: { name: 's' } }), 201);
      const body = expectStatus(await t.patch(t.path('services', 's'), 'strategic', patch), 200);
      assert.deepEqual(
        body.spec.ports.map((each: Json) => [each.name, each.port]),
        expected,
      );
    },
  })),
  {
    name: 'merge patch replaces a list',
    run: async (t) => {
      expectStatus(await t.post(t.path('services'), { ...service('s'), metadata: { name: 's' } }), 201);
      const body = expectStatus(
        await t.patch(t.path('services', 's'), 'merge', { spec: { ports: [{ port: 9, name: 'n' }] } }),
        200,
      );
      assert.deepEqual(
        body.spec.ports.map((each: Json) => each.port),
        [9],
      );
    },
  },
  {
    name: 'strategic merge adds to and deletes from a list of finalizers',
    run: async (t) => {
      await t.configMap('f', { metadata: { name: 'f', finalizers: ['example.com/one'] } });
      const added = await t.patch(t.path('configmaps', 'f'), 'strategic', {
        metadata: { finalizers: ['example.com/two'] },
      });
      assert.deepEqual(expectStatus(added, 200).metadata.finalizers, ['example.com/two', 'example.com/one']);
      const gone = await t.patch(t.path('configmaps', 'f'), 'strategic', {
        metadata: { '$deleteFromPrimitiveList/finalizers': ['example.com/one'] },
      });
      assert.deepEqual(expectStatus(gone, 200).metadata.finalizers, ['example.com/two']);
      await t.patch(t.path('configmaps', 'f'), 'merge', { metadata: { finalizers: null } });
    },
  },
  {
    name: "strategic merge of a pod's image keeps the rest of the container",
    run: async (t) => {
      await t.pod('p', base);
      const body = expectStatus(
        await t.patch(t.path('pods', 'p'), 'strategic', {
          spec: { containers: [{ name: 'c', image: 'i:2' }] },
        }),
        200,
      );
      assert.equal(body.spec.containers[0].image, 'i:2');
      assert.deepEqual(
        body.spec.containers[0].env.map((each: Json) => each.name),
        ['A', 'B'],
      );
    },
  },
  {
    name: 'a patch with an old resourceVersion is 409',
    run: async (t) => {
      const made = await t.configMap('p');
      await t.patch(t.path('configmaps', 'p'), 'merge', { data: { a: '2' } });
      const { resourceVersion } = made.metadata;
      expectStatus(
        await t.patch(t.path('configmaps', 'p'), 'merge', {
          metadata: { resourceVersion },
          data: { a: '3' },
        }),
        409,
        'Conflict',
      );
    },
  },
  {
    name: 'a patch of the name is refused',
    run: async (t) => {
      await t.configMap('p');
      const { status } = await t.patch(t.path('configmaps', 'p'), 'merge', { metadata: { name: 'q' } });
      assert.ok(status === 400 || status === 422);
    },
  },
  {
    name: 'a patch of what is not there is 404',
    run: async (t) => {
      expectStatus(await t.patch(t.path('configmaps', 'none'), 'merge', { data: {} }), 404, 'NotFound');
    },
  },
  {
    name: 'a patch of an unknown type is 415',
    run: async (t) => {
      await t.configMap('p');
      expectStatus(
        await t.call('PATCH', t.path('configmaps', 'p'), {}, { type: 'application/json' }),
        415,
        'UnsupportedMediaType',
      );
    },
  },
  {
    name: 'a patch that changes nothing keeps the resourceVersion',
    run: async (t) => {
      const made = await t.configMap('p');
      const body = expectStatus(await t.patch(t.path('configmaps', 'p'), 'merge', { data: { a: '1' } }), 200);
      assert.equal(body.metadata.resourceVersion, made.metadata.resourceVersion);
    },
  },
  {
    name: 'twenty racing patches of different keys all arrive',
    run: async (t) => {
      await t.configMap('p');
      const keys = Array.from({ length: 20 }, (_, at) => `k${at}`);
      await Promise.all(
        keys.map(async (key) =>
          expectStatus(await t.patch(t.path('configmaps', 'p'), 'merge', { data: { [key]: 'x' } }), 200),
        ),
      );
      const { data } = (await t.get(t.path('configmaps', 'p'))).body;
      assert.deepEqual(
        keys.filter((key) => data[key] !== 'x'),
        [],
      );
    },
  },
];
