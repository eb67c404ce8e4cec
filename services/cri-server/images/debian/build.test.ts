import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { openTestImages } from '../../../../test/hostile-images/harness.ts';

test('an image is built from Debian packages, small, usable and the same each time', async () => {
  await using it = await openTestImages();
  const lines: string[] = [];
  const build = { name: 'web', packages: ['busybox-static'], config: { Env: ['A=b'], User: '1' } };
  const image = await it.images.buildDebian({ ...build, onLine: (line) => lines.push(line) });
  assert.deepEqual(image.repoTags, ['docker.io/library/web:latest']);
  assert.ok(image.size < 4_000_000n, `${image.size} bytes`);
  assert.ok(lines.length > 2);
  assert.deepEqual([image.config.Cmd, image.config.User, image.config.Env?.[1]], [['/bin/sh'], '1', 'A=b']);

  const { path } = await it.images.prepareRoot({ key: 'c', imageId: 'web' });
  const said = execFileSync('chroot', [path, '/bin/sh', '-c', 'ls / && id -un'], { encoding: 'utf8' });
  assert.match(said, /etc[\s\S]*root\n$/);
  assert.match(readFileSync(`${path}/etc/passwd`, 'utf8'), /^root:/);
  assert.equal(statSync(`${path}/tmp`).mode & 0o7777, 0o1777);
  assert.ok(!existsSync(`${path}/etc/apt`));

  const again = await it.images.buildDebian({ ...build, name: 'again' });
  assert.equal(again.id, image.id);
  await assert.rejects(
    it.images.buildDebian({ name: 'x', packages: ['no-such-package-at-all'] }),
    (error) => isSkiffError(error, 'INTERNAL') && /Unable to locate|no-such-package/.test(error.message),
  );
  await assert.rejects(it.images.buildDebian({ name: 'x', packages: ['--help'] }), (error) =>
    isSkiffError(error, 'INVALID_ARGUMENT'),
  );
});
