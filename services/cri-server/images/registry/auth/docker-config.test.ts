import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SkiffError } from '#foundation/base/errors.ts';
import { canonicalAddress } from './credentials.ts';
import { fromDockerConfigs } from './docker-config.ts';

const folder = mkdtempSync('/tmp/skiff-docker-');
const searched = process.env.PATH;
process.env.PATH = `${folder}:${searched}`;
after(() => {
  process.env.PATH = searched;
  rmSync(folder, { recursive: true });
});

const base64 = (text: string) => Buffer.from(text).toString('base64');
const password = (username: string, secret = 'pw') => ({ kind: 'password', username, password: secret });

function config(content: unknown): string[] {
  const path = join(folder, `config-${Math.random().toString(36).slice(2)}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return [path];
}

function helper(name: string, script: string): void {
  writeFileSync(join(folder, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

test('the names of Docker Hub are one registry', () => {
  for (const name of [
    'docker.io',
    'https://index.docker.io/v1/',
    'registry-1.docker.io',
    'https://docker.io:443',
  ])
    assert.equal(canonicalAddress(name), 'docker.io');
  assert.equal(canonicalAddress('https://Quay.io/v2/'), 'quay.io');
  assert.equal(canonicalAddress('quay.io:8443'), 'quay.io:8443');
});

test('auths: by name, by URL, deeper keys first, NULs trimmed', async () => {
  const paths = config({
    auths: {
      'https://index.docker.io/v1/': { auth: base64('hub:pw\0') },
      'quay.io': { auth: base64('all:pw') },
      'quay.io/team': { auth: base64('team:with:colons') },
      'quay.io/team/app': { username: 'app', password: 'pw' },
      'ghcr.io': { auth: base64('me:'), identitytoken: 'refresh' },
      'empty.example': {},
      'null.example': null,
    },
  });
  const find = (address: string, repository = 'x') => fromDockerConfigs(paths, address, repository);
  assert.deepEqual(await find('docker.io'), password('hub'));
  assert.deepEqual(await find('registry-1.docker.io'), password('hub'));
  assert.deepEqual(await find('quay.io', 'other/app'), password('all'));
  assert.deepEqual(await find('quay.io', 'team/else'), password('team', 'with:colons'));
  assert.deepEqual(await find('quay.io', 'team/app'), password('app'));
  assert.deepEqual(await find('quay.io', 'team-two/app'), password('all'));
  assert.deepEqual(await find('ghcr.io'), { kind: 'identity', token: 'refresh', username: 'me' });
  assert.equal(await find('empty.example'), undefined);
  assert.equal(await find('null.example'), undefined);
  assert.equal(await find('unknown.example'), undefined);
});

test('the first file with credentials wins, absent files are empty', async () => {
  const paths = [
    join(folder, 'absent.json'),
    ...config({ auths: { 'a.example': { auth: base64('one:pw') } } }),
    ...config({ auths: { 'a.example': { auth: base64('two:pw') }, 'b.example': { auth: base64('b:pw') } } }),
  ];
  assert.deepEqual(await fromDockerConfigs(paths, 'a.example', 'x'), password('one'));
  assert.deepEqual(await fromDockerConfigs(paths, 'b.example', 'x'), password('b'));
});

test('helpers are asked by the protocol of Docker', async () => {
  helper(
    'good',
    'read -r server; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"$1@$server\\",\\"Secret\\":\\"pw\\"}"',
  );
  helper('token', 'echo \'{"ServerURL":"x","Username":"<token>","Secret":"refresh"}\'');
  helper('none', 'echo "credentials not found in native keychain"; exit 1');
  helper('broken', 'echo "the vault is sealed" >&2; exit 3');
  helper('garbage', 'echo "hello"');
  const paths = config({
    credsStore: 'none',
    credHelpers: {
      'good.example:5000': 'good',
      'token.example': 'token',
      'broken.example': 'broken',
      'garbage.example': 'garbage',
      'missing.example': 'missing',
      'evil.example': '../../bin/sh',
    },
    auths: { 'fallback.example': { auth: base64('f:pw') } },
  });
  const find = (address: string) => fromDockerConfigs(paths, address, 'x');
  assert.deepEqual(await find('good.example:5000'), password('get@good.example:5000'));
  assert.deepEqual(await find('token.example'), { kind: 'identity', token: 'refresh', username: '' });
  assert.deepEqual(await find('fallback.example'), password('f'));
  const failures: [string, RegExp][] = [
    ['broken.example', /docker-credential-broken: it exited with 3: the vault is sealed/],
    ['garbage.example', /did not answer with Username and Secret/],
    ['missing.example', /install it or change the Docker config/],
    ['evil.example', /no such name/],
  ];
  for (const [address, says] of failures)
    await assert.rejects(find(address), (error) => {
      assert.ok(error instanceof SkiffError);
      assert.equal(error.code, 'FAILED_PRECONDITION');
      assert.match(error.message, says);
      return true;
    });
});

test('the store gets the key that Docker writes', async () => {
  helper('store', 'read -r server; echo "{\\"Username\\":\\"u\\",\\"Secret\\":\\"$server\\"}"');
  const paths = config({ credsStore: 'store' });
  const found = await fromDockerConfigs(paths, 'docker.io', 'library/nginx');
  assert.deepEqual(found, password('u', 'https://index.docker.io/v1/'));
});

test('a broken file is told by name, and its content is not', async () => {
  const cases: [unknown, RegExp][] = [
    ['{"auths": {"a": {"auth": "c2VjcmV0', /Cannot read Docker config \/tmp\/.*json: it is not JSON$/],
    [{ auths: [] }, /auths: /],
    [{ auths: { 'a.example': { auth: '%%%' } } }, /the auth of "a\.example" must be base64/],
  ];
  for (const [content, says] of cases)
    await assert.rejects(fromDockerConfigs(config(content), 'a.example', 'x'), says);
});
