import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { openTestImages, temporaryDirectory } from '../../../test/hostile-images/harness.ts';
import { pushImage } from '../../../test/hostile-images/image.ts';
import { startRegistry } from '../../../test/hostile-images/registry.ts';
import { tar } from '../../../test/hostile-images/tar.ts';
import { forPeople } from './failures.ts';
import { openPolicy } from './policy.ts';
import { parseReference } from './reference.ts';

const accept = [{ type: 'insecureAcceptAnything' }];
const reject = [{ type: 'reject' }];

test('the narrowest scope of a policy decides', async () => {
  using place = temporaryDirectory();
  const path = `${place.path}/policy.json`;
  const policy = openPolicy(path);
  const isAccepted = async (name: string) => {
    try {
      await policy.check(parseReference(name));
      return true;
    } catch (error) {
      assert.ok(isSkiffError(error, 'PERMISSION_DENIED'), String(error));
      assert.match(error.message, /^SignatureValidationFailed: cannot pull /);
      return false;
    }
  };
  assert.equal(await isAccepted('anything'), true, 'no policy');
  const docker = {
    'docker.io': accept,
    'docker.io/library/nginx:1.2': reject,
    'quay.io/team': accept,
    'quay.io/team/bad': reject,
    '*.corp.example': accept,
    'secret.corp.example:5000/x': reject,
  };
  writeFileSync(path, JSON.stringify({ default: reject, transports: { docker } }));
  const digest = `sha256:${'0'.repeat(64)}`;
  const expected = {
    nginx: true,
    'nginx:1.2': false,
    [`nginx:1.2@${digest}`]: true,
    'quay.io/team/app': true,
    'quay.io/team/bad:v1': false,
    'quay.io/team/bad/deeper': false,
    'quay.io/other': false,
    'a.b.corp.example/x': true,
    'corp.example/x': false,
    'secret.corp.example:5000/x': false,
    'secret.corp.example:5000/y': true,
  };
  for (const [name, accepted] of Object.entries(expected))
    assert.equal(await isAccepted(name), accepted, name);
  writeFileSync(path, JSON.stringify({ default: accept, transports: { docker: { '': reject } } }));
  assert.equal(await isAccepted('nginx'), false, 'the default of the transport goes before the general one');
  writeFileSync(path, JSON.stringify({ default: reject, transports: { 'docker-archive': { '': accept } } }));
  assert.equal(await isAccepted('nginx'), false, 'another transport says nothing of registries');
  writeFileSync(path, JSON.stringify({ default: [...accept, { type: 'signedBy', keyPath: '/k' }] }));
  await assert.rejects(policy.check(parseReference('nginx')), /demands "signedBy" .* verifies no signatures/);
  for (const text of [
    '',
    '{}',
    '{"default": []}',
    '{"default": [{}]}',
    '[]',
    '{"default":[{"type":"reject"}],"x":1}',
  ]) {
    writeFileSync(path, text);
    await assert.rejects(policy.check(parseReference('nginx')), (error) =>
      isSkiffError(error, 'FAILED_PRECONDITION'),
    );
  }
});

test('what a policy rejects is not pulled, and a changed policy counts at once', async () => {
  using place = temporaryDirectory();
  await using registry = await startRegistry(place.path);
  const path = `${place.path}/policy.json`;
  await using it = await openTestImages({ policy: openPolicy(path) });
  await pushImage(registry.host, 'app', 'v1', { layers: [{ tar: tar({ name: 'a', content: 'one' }) }] });
  const reference = `${registry.host}/app:v1`;
  writeFileSync(
    path,
    JSON.stringify({ default: accept, transports: { docker: { [registry.host]: reject } } }),
  );
  await assert.rejects(it.images.pull({ reference }), (error) => {
    assert.match(String(error), new RegExp(`rejects it \\(scope "${registry.host}"\\)`));
    assert.match(String(forPeople(error)), /Cannot pull/, 'people need no prefix');
    return isSkiffError(error, 'PERMISSION_DENIED');
  });
  assert.deepEqual(it.images.list(), []);
  writeFileSync(path, JSON.stringify({ default: accept }));
  await it.images.pull({ reference });
  writeFileSync(path, JSON.stringify({ default: reject }));
  await assert.rejects(it.images.pull({ reference }), /SignatureValidationFailed/, 'though it is here');
});
