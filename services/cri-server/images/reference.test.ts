import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { familiarReference, formatReference, parseNamed, parseReference } from './reference.ts';
import { createShortNames } from './reference-short-names.ts';

const digest = `sha256:${'a'.repeat(64)}`;

const good: [string, string, string][] = [
  ['nginx', 'docker.io/library/nginx:latest', 'nginx:latest'],
  ['nginx:1.27', 'docker.io/library/nginx:1.27', 'nginx:1.27'],
  ['team/app', 'docker.io/team/app:latest', 'team/app:latest'],
  ['docker.io/nginx', 'docker.io/library/nginx:latest', 'nginx:latest'],
  ['index.docker.io/team/app:v1', 'docker.io/team/app:v1', 'team/app:v1'],
  [`nginx@${digest}`, `docker.io/library/nginx@${digest}`, `nginx@${digest}`],
  [`nginx:1@${digest}`, `docker.io/library/nginx:1@${digest}`, `nginx:1@${digest}`],
  ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
  ['localhost:5000/app', 'localhost:5000/app:latest', 'localhost:5000/app:latest'],
  ['[::1]:5000/app:x', '[::1]:5000/app:x', '[::1]:5000/app:x'],
  ['quay.io/a/b/c/d:v1', 'quay.io/a/b/c/d:v1', 'quay.io/a/b/c/d:v1'],
  ['registry.k8s.io/pause:3.10', 'registry.k8s.io/pause:3.10', 'registry.k8s.io/pause:3.10'],
  ['a__b/c--d.e_f', 'docker.io/a__b/c--d.e_f:latest', 'a__b/c--d.e_f:latest'],
];

for (const [text, whole, familiar] of good)
  test(`"${text}" means ${whole}`, () => {
    const reference = parseReference(text);
    assert.equal(formatReference(reference), whole);
    assert.equal(familiarReference(reference), familiar);
    assert.deepEqual(parseReference(whole), reference, 'normalising twice changes nothing');
  });

const bad: [string, RegExp][] = [
  ['', /it is empty/],
  ['Nginx', /must be lower case/],
  ['nginx:', /the tag ""/],
  ['nginx:a b', /the tag "a b"/],
  [`nginx:${'a'.repeat(129)}`, /up to 128/],
  ['nginx@sha256:abc', /the digest "sha256:abc"/],
  [`nginx@md5:${'a'.repeat(32)}`, /must be sha256, sha384 or sha512/],
  ['a//b', /"" is not a name/],
  ['-a/b', /"-a" is not a name/],
  ['a/../b', /"\.\." is not a name/],
  ['quay.io/', /"" is not a name/],
  ['-bad-.io/app', /not a host name/],
  ['quay.io:99999/app', /port 99999/],
  ['https://quay.io/app', /not a host name/],
  ['a'.repeat(64), /bare image id/],
  [`quay.io/${'a/'.repeat(150)}a`, /longer than 255/],
  ['nginx\n', /is not a name/],
];

for (const [text, message] of bad)
  test(`"${text.slice(0, 40).trim()}" is refused: ${message.source}`, () => {
    assert.throws(
      () => parseReference(text),
      (error) => isSkiffError(error, 'INVALID_ARGUMENT') && message.test(error.message),
    );
  });

test('a name without a tag is a repository', () => {
  assert.deepEqual(parseNamed('quay.io/a/b'), { domain: 'quay.io', path: 'a/b' });
});

test('short names go by aliases, then by the search registries, else to docker.io', async (t) => {
  const folder = mkdtempSync('/tmp/skiff-names-');
  t.after(() => rmSync(folder, { recursive: true }));
  const main = join(folder, 'registries.conf');
  const drops = join(folder, 'registries.conf.d');
  const names = createShortNames({ files: [main, drops] });
  const told = async (text: string) => (await names.candidates(text)).map(formatReference);

  assert.deepEqual(await told('fedora'), ['docker.io/library/fedora:latest']);
  writeFileSync(main, 'unqualified-search-registries = ["quay.io", "docker.io"]\n');
  mkdirSync(drops);
  writeFileSync(join(drops, '10-a.conf'), '[aliases]\n"fedora" = "registry.fedoraproject.org/fedora"\n');
  assert.deepEqual(await told('fedora:42'), ['registry.fedoraproject.org/fedora:42']);
  assert.deepEqual(await told('team/app:v1'), ['quay.io/team/app:v1', 'docker.io/team/app:v1']);
  assert.deepEqual(await told('nginx'), ['quay.io/nginx:latest', 'docker.io/library/nginx:latest']);
  assert.deepEqual(await told(`nginx@${digest}`), [
    `quay.io/nginx@${digest}`,
    `docker.io/library/nginx@${digest}`,
  ]);
  assert.deepEqual(await told('ghcr.io/a/b'), ['ghcr.io/a/b:latest']);

  writeFileSync(join(drops, '20-b.conf'), 'short-name-mode = "enforcing"\n');
  await assert.rejects(names.candidates('nginx'), /Ambiguous image name "nginx".*quay.io\/nginx/);
  writeFileSync(join(drops, '30-c.conf'), 'unqualified-search-registries = [\n');
  await assert.rejects(names.candidates('nginx'), /Invalid registry configuration .*30-c\.conf: /);
  writeFileSync(join(drops, '30-c.conf'), '[aliases]\nx = "quay.io/y:v1"\n');
  await assert.rejects(names.candidates('x'), /must be registry\/repository without a tag/);
});
