import assert from 'node:assert/strict';
import { chownSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import { bindIdMapped } from './id-mapped.ts';
import { mount, unmountTree } from './mount.ts';
import { createSpawner } from './spawn.ts';

/** A user namespace whose ids begin at 100,000, and a directory of the test's own. */
async function setUp(t: TestContext): Promise<{ directory: string; users: string }> {
  const directory = mkdtempSync('/tmp/skiff-idm-');
  const spawner = createSpawner();
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
  const child = spawner.spawn({ file: 'unshare', args: ['--user', 'sleep', '60'], env });
  t.after(async () => {
    child.kill(9);
    await child.exited;
    spawner[Symbol.dispose]();
    unmountTree(directory);
    rmSync(directory, { recursive: true });
  });
  const users = `/proc/${child.pid}/ns/user`;
  const own = readlinkSync('/proc/self/ns/user');
  while (readlinkSync(users) === own) await sleep(2);
  for (const kind of ['uid', 'gid'])
    writeFileSync(`/proc/${child.pid}/${kind}_map`, '0 100000 65536\n', { flag: 'r+' });
  for (const name of ['source', 'source/below', 'target']) mkdirSync(`${directory}/${name}`);
  writeFileSync(`${directory}/source/file`, 'x');
  chownSync(`${directory}/source/file`, 7, 8);
  return { directory, users };
}

test('owners are shown as the namespace maps them, and new files belong to the id they are mapped from', async (t) => {
  const { directory, users } = await setUp(t);
  mount({ source: 'tmpfs', target: `${directory}/source/below`, type: 'tmpfs', data: 'size=1m' });
  bindIdMapped({
    source: `${directory}/source`,
    target: `${directory}/target`,
    userNamespace: users,
    recursive: true,
  });
  const { uid, gid } = statSync(`${directory}/target/file`);
  assert.deepEqual([uid, gid], [100_007, 100_008]);
  assert.equal(statSync(`${directory}/target/below`).uid, 0, 'what is mounted below comes as it is');
  chownSync(`${directory}/target/file`, 100_001, 100_002);
  assert.equal(statSync(`${directory}/source/file`).uid, 1);
});

test('a single file can be bound, and read-only', async (t) => {
  const { directory, users } = await setUp(t);
  writeFileSync(`${directory}/target/file`, '');
  const target = `${directory}/target/file`;
  bindIdMapped({ source: `${directory}/source/file`, target, userNamespace: users, readOnly: true });
  assert.equal(statSync(target).uid, 100_007);
  assert.throws(() => writeFileSync(target, 'y'), { code: 'EROFS' });
});

test('what cannot be mapped is refused with a reason, and nothing stays mounted', async (t) => {
  const { directory, users } = await setUp(t);
  const target = `${directory}/target`;
  const bind =
    (source: string, userNamespace = users) =>
    () =>
      bindIdMapped({ source, target, userNamespace });
  assert.throws(bind('/proc'), (error) => isSkiffError(error) && error.message.includes('"/proc"'));
  assert.throws(bind(`${directory}/none`), (error) => isSkiffError(error, 'NOT_FOUND'));
  assert.throws(bind(`${directory}/source`, `${directory}/source/file`), (error) => isSkiffError(error));
  assert.equal(statSync(target).dev, statSync(directory).dev);
});
