/** Mounts with mapped owners, made before the runtime sees them. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { NamespaceMode, PodSandboxConfigSchema } from '#contracts/cri/runtime_pb.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { mountsBelow, unmountTree } from '#foundation/linux/mount.ts';
import { pinNamespace, unpinNamespace } from '#foundation/linux/namespaces.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { tryUserNamespace } from '../sandboxes/user-namespace.ts';
import { bindMappedMounts, recoverMappedMounts } from './mapped-mounts.ts';

async function setUp(t: TestContext) {
  const directory = mkdtempSync('/tmp/skiff-mm-');
  const user = join(directory, 'user');
  using spawner = createSpawner();
  await tryUserNamespace(spawner, (path) => pinNamespace(path, user));
  t.after(() => {
    unmountTree(directory);
    unpinNamespace(user);
    rmSync(directory, { recursive: true });
  });
  const volume = join(directory, 'volume');
  mkdirSync(volume);
  writeFileSync(join(volume, 'data'), 'precious');
  const core = { paths: { run: join(directory, 'run') } } as never;
  const map = [{ containerID: 0, hostID: 65_536, size: 65_536 }];
  const mapped = { type: 'bind', uidMappings: map, gidMappings: map };
  const mounts = [
    { destination: '/plain', source: volume, type: 'bind' },
    { destination: '/dir', source: volume, ...mapped },
    { destination: '/file', source: join(volume, 'data'), ...mapped },
  ];
  const mapping = [{ containerId: 0, hostId: 65_536, length: 65_536 }];
  const usernsOptions = { mode: NamespaceMode.POD, uids: mapping, gids: mapping };
  const linux = { securityContext: { namespaceOptions: { usernsOptions } } };
  const sandbox = { namespaces: { user }, config: create(PodSandboxConfigSchema, { linux }) } as never;
  return { directory, volume, core, sandbox, spec: { mounts } as never };
}

test('sources are bound with the owners of the pod, and given up once the container is made', async (t) => {
  const { directory, volume, core, sandbox, spec } = await setUp(t);
  await using undo = undoStack();
  const bound = bindMappedMounts(core, 'c', sandbox, spec, undo);
  const [plain, folder, file] = bound.spec.mounts ?? [];
  assert.equal(plain?.source, volume);
  assert.equal(statSync(join(folder?.source ?? '', 'data')).uid, 65_536);
  assert.equal(statSync(file?.source ?? '').uid, 65_536);
  assert.ok(!('uidMappings' in (folder ?? {})), 'the old runtime must not see what it does not know');
  bound.release();
  assert.deepEqual(mountsBelow(join(directory, 'run')), []);
  assert.equal(existsSync(join(directory, 'run', 'mapped', 'c')), false);
  undo.commit();
});

test('other mappings, and pods without a namespace, are left to the runtime', async (t) => {
  const { core, sandbox, spec } = await setUp(t);
  await using undo = undoStack();
  const other = structuredClone(spec) as { mounts: { uidMappings?: { hostID: number }[] }[] };
  for (const { uidMappings } of other.mounts) for (const mapping of uidMappings ?? []) mapping.hostID = 7;
  assert.equal(bindMappedMounts(core, 'c', sandbox, other as never, undo).spec, other);
  const plain = { namespaces: {}, config: create(PodSandboxConfigSchema, {}) } as never;
  assert.equal(bindMappedMounts(core, 'c', plain, spec, undo).spec, spec);
});

test('a mount that fails takes back those before it', async (t) => {
  const { directory, core, sandbox, spec } = await setUp(t);
  const broken = structuredClone(spec) as { mounts: { source: string }[] };
  for (const mount of broken.mounts.slice(2)) mount.source = '/proc/version';
  {
    await using undo = undoStack();
    assert.throws(() => bindMappedMounts(core, 'c', sandbox, broken as never, undo), /\/proc\/version/);
  }
  assert.deepEqual(mountsBelow(join(directory, 'run')), []);
});

test('what a crash left is taken off, and the volumes keep their content', async (t) => {
  const { directory, volume, core, sandbox, spec } = await setUp(t);
  await using undo = undoStack();
  bindMappedMounts(core, 'c', sandbox, spec, undo);
  undo.commit(); // As if the process had died here.
  recoverMappedMounts({ run: join(directory, 'run') } as never);
  assert.equal(existsSync(join(directory, 'run', 'mapped', 'c')), false);
  assert.equal(readFileSync(join(volume, 'data'), 'utf8'), 'precious');
});
