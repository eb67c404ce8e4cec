/** Granted resources, pod directories, and how pods are looked up. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { podOf } from '../testing/pods.ts';
import { createAllocation } from './allocation.ts';
import { createPodDirectories } from './directories.ts';
import { mirrorAnnotation } from './identity.ts';
import { createPodManager } from './pod-manager.ts';

function inDirectory(work: (directory: string) => Promise<void> | void) {
  return async () => {
    const directory = mkdtempSync('/tmp/skiff-pods-');
    try {
      await work(directory);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
}

const sized = (cpu: string) => podOf({ containers: [{ name: 'a', resources: { requests: { cpu } } }] });
const never = () => assert.fail('the checkpoint must be written');

test(
  'a pod runs with what was granted, also after a restart, until a resize is granted',
  inDirectory((directory) => {
    const allocation = createAllocation(directory, never);
    allocation.grant(sized('1'));
    assert.equal(allocation.wantsResize(sized('1')), false);
    assert.equal(allocation.wantsResize(sized('2')), true);
    const again = createAllocation(directory, never);
    assert.equal(again.allocated(sized('2')).spec.containers[0]?.resources?.requests?.cpu, '1');
    again.setPending('u1', { reason: 'Deferred', message: 'm' });
    assert.deepEqual(again.conditions('u1')[0]?.type, 'PodResizePending');
    again.grant(sized('2'));
    again.setPending('u1', undefined);
    again.setInProgress('u1', '');
    assert.deepEqual(again.conditions('u1'), [{ type: 'PodResizeInProgress', status: 'True' }]);
    again.setActuated('u1', 'a', { requests: { cpu: '1' } });
    assert.deepEqual(createAllocation(directory, never).actuated('u1', 'a'), { requests: { cpu: '1' } });
    again.retain(new Set());
    assert.equal(createAllocation(directory, never).wantsResize(sized('1')), false);
  }),
);

test(
  'a broken checkpoint is none; one that cannot be written is told and forgotten by nobody',
  inDirectory((directory) => {
    for (const content of ['', 'null', '{"version":1}', '{"version":9,"pods":{}}']) {
      writeFileSync(join(directory, 'allocated_pods_state'), content);
      assert.equal(createAllocation(directory, never).wantsResize(sized('1')), false);
    }
    let told = 0;
    const allocation = createAllocation(join(directory, 'absent'), () => {
      told += 1;
    });
    allocation.grant(sized('1'));
    assert.equal(told, 1);
    assert.equal(allocation.wantsResize(sized('2')), true);
  }),
);

test(
  'a directory goes, unless a volume holds a file',
  inDirectory(async (root) => {
    const directories = createPodDirectories(root);
    assert.deepEqual(directories.list(), []);
    directories.make('u1');
    mkdirSync(join(root, 'pods/u1/volumes/kubernetes.io~empty-dir/v'), { recursive: true });
    const file = join(root, 'pods/u1/volumes/kubernetes.io~empty-dir/v/data');
    writeFileSync(file, 'x');
    await assert.rejects(directories.remove('u1'), /data/);
    assert.ok(existsSync(file));
    rmSync(file);
    await directories.remove('u1');
    assert.deepEqual(directories.list(), []);
  }),
);

test('static pods and their mirrors share a name, never a UID', () => {
  const pods = createPodManager();
  const own = podOf({}, { uid: 'own' });
  const mirror = podOf({}, { uid: 'mirror', annotations: { [mirrorAnnotation]: 'own' } });
  pods.set(own);
  pods.set(mirror);
  assert.equal(pods.mirrorOf(own), mirror);
  assert.equal(pods.staticOf(mirror), own);
  assert.equal(pods.get('mirror'), undefined);
  pods.remove(podOf({}, { uid: 'older', annotations: { [mirrorAnnotation]: 'x' } }));
  assert.equal(pods.mirrorOf(own), mirror, 'a mirror of another UID is not this one');
  pods.remove(mirror);
  assert.equal(pods.mirrorOf(own), undefined);
  assert.equal(pods.byName('p_ns'), own);
});
