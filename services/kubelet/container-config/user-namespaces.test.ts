import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { createUserNamespaces } from './user-namespaces.ts';

const podOf = (uid: string, hostUsers?: boolean): Pod => ({
  metadata: { name: uid, uid },
  spec: { hostUsers, containers: [] },
});

test('each pod has ids of its own, the same after a restart, and gives them back', () => {
  const kubeletRoot = mkdtempSync('/tmp/skiff-userns-');
  try {
    const make = () => createUserNamespaces({ kubeletRoot, supported: () => true });
    const firstOf = (uid: string) => make().options(podOf(uid, false)).uids?.[0]?.hostId;
    assert.equal(make().options(podOf('a')).mode, NamespaceMode.NODE);
    assert.equal(firstOf('a'), 65_536);
    assert.equal(firstOf('b'), 131_072);
    assert.equal(firstOf('a'), 65_536);
    rmSync(`${kubeletRoot}/pods/a`, { recursive: true });
    assert.equal(firstOf('c'), 65_536);
    const unable = createUserNamespaces({ kubeletRoot, supported: () => false });
    assert.throws(() => unable.options(podOf('d', false)), /does not support user namespaces/);
  } finally {
    rmSync(kubeletRoot, { recursive: true });
  }
});
