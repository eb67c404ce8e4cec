import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { createUserNamespaces } from './user-namespaces.ts';
import { userRange } from './user-range.ts';

const podOf = (uid: string, hostUsers?: boolean): Pod => ({
  metadata: { name: uid, uid },
  spec: { hostUsers, containers: [] },
});

const range = { first: 65_536, perPod: 65_536, pods: 100 };

test('each pod has ids of its own, the same after a restart, and gives them back', () => {
  const kubeletRoot = mkdtempSync('/tmp/skiff-userns-');
  try {
    const make = () => createUserNamespaces({ kubeletRoot, range, supported: () => true });
    const firstOf = (uid: string) => make().options(podOf(uid, false)).uids?.[0]?.hostId;
    assert.equal(make().options(podOf('a')).mode, NamespaceMode.NODE);
    assert.equal(firstOf('a'), 65_536);
    assert.equal(firstOf('b'), 131_072);
    assert.equal(firstOf('a'), 65_536);
    rmSync(`${kubeletRoot}/pods/a`, { recursive: true });
    assert.equal(firstOf('c'), 65_536);
    const unable = createUserNamespaces({ kubeletRoot, range, supported: () => false });
    assert.throws(() => unable.options(podOf('d', false)), /does not support user namespaces/);
  } finally {
    rmSync(kubeletRoot, { recursive: true });
  }
});

const enough = { userNamespaces: {}, maxPods: 2 };
for (const [name, uids, gids, wanted] of [
  ['nobody is named', 'a:1:2', '', { first: 65_536, perPod: 65_536, pods: 32_767 }],
  [
    'the kubelet has a range',
    'kubelet:131072:262144',
    'x:0:1\nkubelet:131072:262144',
    { first: 131_072, perPod: 65_536, pods: 4 },
  ],
  ['ranges differ', 'kubelet:131072:262144', 'kubelet:65536:262144', /the same range/],
  ['groups are missing', 'kubelet:131072:262144', '', /the same range/],
  ['it is not aligned', 'kubelet:100000:262144', 'kubelet:100000:262144', /multiple of 65536/],
  ['it is too small', 'kubelet:131072:65536', 'kubelet:131072:65536', /fewer than maxPods/],
] as const)
  test(`ids for pods: ${name}`, () => {
    const root = mkdtempSync('/tmp/skiff-subid-');
    try {
      const files = { uids: `${root}/subuid`, gids: `${root}/subgid` };
      writeFileSync(files.uids, uids);
      writeFileSync(files.gids, gids);
      if (wanted instanceof RegExp) assert.throws(() => userRange(enough, files), wanted);
      else assert.deepEqual(userRange(enough, files), wanted);
    } finally {
      rmSync(root, { recursive: true });
    }
  });

test('a pod may have more ids', () => {
  const files = { uids: '/none', gids: '/none' };
  assert.equal(userRange({ userNamespaces: { idsPerPod: 131_072 }, maxPods: 2 }, files).perPod, 131_072);
});
