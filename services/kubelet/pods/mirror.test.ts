/** The API's picture of a static pod: when it is made, replaced and removed (kubelet-facts 1). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Node, Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { podOf } from '../testing/pods.ts';
import { hashAnnotation, mirrorAnnotation } from './identity.ts';
import { createMirrorPods } from './mirror.ts';

const own = podOf(
  {},
  { uid: 'own', resourceVersion: '7', annotations: { [hashAnnotation]: 'own', note: 'n' } },
);
const mirrorWith = (hash: string, metadata: Partial<Pod['metadata']> = {}) =>
  podOf({}, { uid: 'shown', annotations: { [mirrorAnnotation]: hash }, ...metadata });
const registered: Node = { metadata: { name: 'n1', uid: 'node-uid' }, spec: {} };

function setup(node: Node | undefined = registered, failing?: SkiffError) {
  const said: string[] = [];
  const made: Pod[] = [];
  const api = {
    node: () => node,
    createPod: async (pod: Pod) => {
      said.push('create');
      made.push(pod);
      if (failing !== undefined) throw failing;
      return pod;
    },
    deletePod: async (namespace: string, name: string, how: { uid: string; gracePeriodSeconds: number }) =>
      void said.push(`delete ${namespace}/${name} ${how.uid} ${how.gracePeriodSeconds}`),
  };
  return { said, made, mirrors: createMirrorPods({ api, logger: silentLogger }) };
}

const gone = 'delete ns/p shown 0';
for (const [rule, mirror, wanted, node] of [
  ['none there', undefined, ['create'], registered],
  ['the same', mirrorWith('own'), [], registered],
  ['one of an older manifest', mirrorWith('older'), [gone, 'create'], registered],
  [
    'one that somebody deletes',
    mirrorWith('own', { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    [gone, 'create'],
    registered,
  ],
  ['a node that is not registered yet', undefined, [], { metadata: { name: 'n1' }, spec: {} }],
] as [string, Pod | undefined, string[], Node][])
  test(`a mirror: ${rule}`, async () => {
    const { said, mirrors } = setup(node);
    mirrors.reconcile(own, mirror);
    for (let turns = 0; turns < 5; turns += 1) await turn();
    assert.deepEqual(said, wanted);
  });

test('a mirror is a copy that the node owns, without the static pod’s UID', async () => {
  const { made, mirrors } = setup();
  mirrors.reconcile(own, undefined);
  await turn();
  assert.deepEqual(made[0]?.metadata, {
    name: 'p',
    namespace: 'ns',
    annotations: { [hashAnnotation]: 'own', note: 'n', [mirrorAnnotation]: 'own' },
    ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'node-uid', controller: true }],
  });
  assert.deepEqual(made[0]?.spec, own.spec);
});

test('a mirror that somebody else made meanwhile is no failure, and one change is made at a time', async () => {
  const { said, mirrors } = setup(registered, new SkiffError('ALREADY_EXISTS', 'there'));
  mirrors.reconcile(own, undefined);
  mirrors.reconcile(own, undefined);
  for (let turns = 0; turns < 5; turns += 1) await turn();
  assert.deepEqual(said, ['create']);
  mirrors.remove(mirrorWith('own'));
  await turn();
  assert.deepEqual(said, ['create', gone]);
});

test('without an API there are no mirrors', () => {
  const mirrors = createMirrorPods({ api: undefined, logger: silentLogger });
  mirrors.reconcile(own, undefined);
  mirrors.remove(mirrorWith('own'));
});
