import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cgroupPlace } from './places.ts';

test('cgroups lie below their parent, in the words of each driver', () => {
  const place = (parent: string, driver: 'cgroupfs' | 'systemd') => cgroupPlace(parent, 'id', 'abc', driver);
  assert.deepEqual(place('/kubepods/pod1', 'cgroupfs'), {
    spec: '/kubepods/pod1/id',
    path: '/kubepods/pod1/id',
  });
  assert.equal(place('', 'cgroupfs').path, '/skiff-abc/id');
  assert.equal(place('/test.slice', 'cgroupfs').path, '/test.slice/id');
  assert.deepEqual(place('kubepods-burstable-pod1.slice', 'systemd'), {
    spec: 'kubepods-burstable-pod1.slice:skiff:id',
    path: '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/skiff-id.scope',
  });
  assert.equal(place('', 'systemd').spec, 'system.slice:skiff:id');
  assert.throws(() => place('/kubepods/pod1', 'systemd'), /is no slice/);
  assert.throws(() => place('/a/../../b', 'cgroupfs'), { code: 'INVALID_ARGUMENT' });
});
