/** Manifests, and how the pods of all sources are merged (kubelet-facts 1). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { podOf } from '../testing/pods.ts';
import { decodePod } from './decode.ts';
import { decodeElsewhere } from './decode-worker.ts';
import { createPodConfig } from './pod-config.ts';
import { createSources } from './sources.ts';
import { toStaticPod } from './static-pod.ts';

function merger() {
  const said: string[] = [];
  const duplicates: string[] = [];
  const config = createPodConfig({
    now: () => Date.UTC(2026, 0, 1),
    emit: ({ op, pods }) => said.push(`${op} ${pods.map(({ metadata }) => metadata.uid).join(',')}`.trim()),
    onDuplicate: ({ metadata }) => duplicates.push(metadata.uid ?? ''),
  });
  return { config, said, duplicates };
}

const pod = (uid: string, more: Partial<Pod['metadata']> = {}, spec = {}) =>
  podOf(spec, { uid, name: uid, ...more });

test('full sets become the difference, in the order of the original', () => {
  const { config, said } = merger();
  config.set('api', [pod('a'), pod('b'), pod('c')]);
  const gone = { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 1 };
  const ready = { ...pod('d'), status: { phase: 'Running' } };
  config.set('api', [pod('b', gone), pod('c', { labels: { x: 'y' } }), pod('d')]);
  config.set('api', [pod('b', gone), pod('c', { labels: { x: 'y' } }), ready]);
  config.set('api', [pod('b', gone), pod('c', { labels: { x: 'y' } }), ready]);
  assert.deepEqual(said, ['ADD a,b,c', 'REMOVE a', 'ADD d', 'UPDATE c', 'DELETE b', 'RECONCILE d']);
});

test('the kubelet’s own annotations are no change; others are', () => {
  const { config, said } = merger();
  config.set('file', [pod('a')]);
  config.set('file', [pod('a', { annotations: { 'kubernetes.io/config.mirror': 'x' } })]);
  config.set('file', [pod('a', { annotations: { mine: 'x' } })]);
  assert.deepEqual(said, ['ADD a', 'UPDATE a']);
  const annotations = config.pods()[0]?.metadata.annotations;
  assert.equal(annotations?.['kubernetes.io/config.source'], 'file');
  assert.equal(annotations?.['kubernetes.io/config.seen'], '2026-01-01T00:00:00.000000000Z');
});

test('an empty first set says that the source was seen', () => {
  const { config, said } = merger();
  config.set('file', []);
  config.set('file', []);
  assert.deepEqual(said, ['ADD']);
});

test('two pods of one name in a source: the second is left out', () => {
  const { config, said, duplicates } = merger();
  config.set('file', [pod('a', { name: 'n' }), pod('b', { name: 'n' })]);
  assert.deepEqual([said, duplicates], [['ADD a'], ['b']]);
});

test('sources are ready when all were seen', () => {
  const sources = createSources(['file', 'api']);
  sources.seen('file');
  assert.equal(sources.allReady(), false);
  sources.seen('api');
  assert.equal(sources.allReady(), true);
});

const manifest = (name: string, extra = '') =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec:\n  containers:\n  - {name: a, image: img}\n${extra}`;

test('a static pod: name, UID, annotations, toleration; the UID follows content, node and place', () => {
  const decoded = decodePod(manifest('web'), 'web.yaml');
  const made = toStaticPod(decoded, 'Node1', { source: 'file', path: '/m/web.yaml' });
  assert.equal(made.metadata.name, 'web-node1');
  assert.equal(made.metadata.namespace, 'default');
  assert.match(made.metadata.uid ?? '', /^[0-9a-f]{32}$/);
  assert.equal(made.metadata.annotations?.['kubernetes.io/config.hash'], made.metadata.uid);
  assert.equal(made.spec.nodeName, 'Node1');
  assert.equal(made.status?.phase, 'Pending');
  assert.deepEqual(made.spec.tolerations, [{ operator: 'Exists', effect: 'NoExecute' }]);
  const uid = (node: string, path: string, name = 'web') =>
    toStaticPod(decodePod(manifest(name), 'f'), node, { source: 'file', path }).metadata.uid;
  assert.equal(uid('Node1', '/m/web.yaml'), made.metadata.uid);
  assert.notEqual(uid('Node2', '/m/web.yaml'), made.metadata.uid);
  assert.notEqual(uid('Node1', '/m/other.yaml'), made.metadata.uid);
  const fromUrl = toStaticPod(decoded, 'Node1', { source: 'http', url: 'http://x/' });
  assert.notEqual(fromUrl.metadata.uid, made.metadata.uid);
  assert.equal(fromUrl.spec.tolerations?.some(({ effect }) => effect === 'NoExecute') ?? false, false);
});

const refused: [string, Partial<Pod['spec']>, RegExp][] = [
  ['service account', { serviceAccountName: 'x' }, /serviceAccountName/],
  ['the default service account', { serviceAccountName: 'default' }, /serviceAccountName/],
  ['secret to pull with', { imagePullSecrets: [{ name: 'login' }] }, /imagePullSecrets/],
  ['secret volume', { volumes: [{ name: 'v', secret: { secretName: 's' } }] }, /volumes\[0\]\.secret/],
  ['configMap volume', { volumes: [{ name: 'v', configMap: { name: 's' } }] }, /volumes\[0\]\.configMap/],
  [
    'projected secret',
    { volumes: [{ name: 'v', projected: { sources: [{ secret: { name: 's' } }] } }] },
    /projected/,
  ],
  ['claim', { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] }, /persistentVolumeClaim/],
  [
    'env from a configMap',
    { containers: [{ name: 'a', envFrom: [{ configMapRef: { name: 'c' } }] }] },
    /envFrom/,
  ],
];

for (const [what, spec, message] of refused) {
  test(`a static pod may not refer to the API: ${what}`, () => {
    assert.throws(() => toStaticPod(podOf(spec), 'n', { source: 'file', path: '/p' }), message);
  });
}

test('what a newer kubelet would know, double keys and further documents are passed over, and told', () => {
  const told: string[] = [];
  const text = `${manifest('a', '  hostname: one\n  hostname: two\n  later: 1\n')}---\nkind: [\n`;
  const pod = decodePod(text, 'a.yaml', (problem) => told.push(problem));
  assert.equal(pod.spec.hostname, 'two');
  assert.deepEqual(told, [
    'a.yaml:8:3: this key is already set above in the same mapping',
    'a.yaml:10:1: another document; only the first counts',
    'a.yaml:9:3: spec.later: unknown field',
  ]);
});

test('a broken manifest names file, line and field', () => {
  assert.throws(
    () => decodePod('apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containrs: []\n', 'x.yaml'),
    /x\.yaml:5.*containrs/s,
  );
  assert.throws(() => decodePod(manifest('Not_A_Name'), 'x.yaml'), /x\.yaml:3/);
  assert.throws(
    () => decodePod('apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {}\n', 'x.yaml'),
    /Pod/,
  );
});

test('decoding elsewhere: the same mistakes, and an end to what takes too long', async () => {
  const broken = manifest('x').replace('containers', 'container');
  const same = (error: unknown) =>
    isSkiffError(error, 'INVALID_ARGUMENT') && /^f\.yaml:\d+:\d+: spec\.container/.test(error.message);
  assert.throws(() => decodePod(broken, 'f.yaml'), same);
  await assert.rejects(decodeElsewhere(broken, 'f.yaml'), same);
  assert.equal((await decodeElsewhere(manifest('x'), 'f.yaml')).metadata.name, 'x');
  const endless = `a: [${'{b: c}, '.repeat(200_000)}]`;
  await assert.rejects(decodeElsewhere(endless, 'f.yaml', 5), (error) =>
    isSkiffError(error, 'RESOURCE_EXHAUSTED'),
  );
});
