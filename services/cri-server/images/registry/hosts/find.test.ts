import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findHosts } from './find.ts';
import { isLoopback, repositoryAt } from './host.ts';

const root = mkdtempSync('/tmp/skiff-certs-');
after(() => rmSync(root, { recursive: true }));

const pem = (name: string) => `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`;

function write(path: string, content: string): void {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), content);
}

const endpoints = async (domain: string, dirs = [root]) =>
  (await findHosts(dirs, domain)).map(({ scheme, address, basePath }) => `${scheme}://${address}${basePath}`);

test('without configuration a registry is itself, and docker.io is where Docker serves it', async () => {
  assert.deepEqual(await endpoints('quay.io'), ['https://quay.io/v2']);
  assert.deepEqual(await endpoints('docker.io'), ['https://registry-1.docker.io/v2']);
  assert.deepEqual(await endpoints('quay.io', []), ['https://quay.io/v2']);
});

test('loopback addresses may speak http, others may not', async () => {
  for (const address of ['localhost', 'localhost:5000', '127.0.0.1:5000', '127.8.9.1', '[::1]:5000']) {
    assert.ok(isLoopback(address), address);
    const [host] = await findHosts([root], address);
    assert.equal(host?.httpFallback, true);
    assert.equal(host?.tls.skipVerify, true);
  }
  for (const address of ['quay.io', 'localhost.example', '127.0.0.1.example', '128.0.0.1', '[::2]:5000']) {
    const [host] = await findHosts([root], address);
    assert.equal(host?.httpFallback, false, address);
    assert.equal(host?.tls.skipVerify, false, address);
  }
});

test('the folder with the port in underscores comes first, then the name, then the default', async () => {
  write('_default/hosts.toml', '[host."https://default.example"]\n');
  assert.deepEqual(await endpoints('a.example:5000'), [
    'https://default.example/v2',
    'https://a.example:5000/v2',
  ]);
  write('a.example:5000/hosts.toml', '[host."https://colon.example"]\n');
  assert.equal((await endpoints('a.example:5000'))[0], 'https://colon.example/v2');
  write('a.example_5000_/hosts.toml', '[host."https://underscore.example"]\n');
  assert.equal((await endpoints('a.example:5000'))[0], 'https://underscore.example/v2');
  rmSync(join(root, '_default'), { recursive: true });
});

test('mirrors keep their order, paths and settings; the registry is last', async () => {
  write('certs/ca.pem', pem('ca'));
  write(
    'b.example/hosts.toml',
    `
server = "https://real.b.example"
ca = "../certs/ca.pem"

[host."http://z.example:8080"]
  capabilities = ["pull"]
  dial_timeout = "1m0.5s"
[host."https://a.example/some/path"]
  skip_verify = true
  [host."https://a.example/some/path".header]
    x-one = "1"
    X-Two = ["2", "3"]
[host."m.example/v2"]
[host."https://c.example/api"]
  override_path = true
  [host."https://c.example/api".rewrite]
    "^library/(.*)" = "hub/$1"
`,
  );
  assert.deepEqual(await endpoints('b.example'), [
    'http://z.example:8080/v2',
    'https://a.example/some/path/v2',
    'https://m.example/v2',
    'https://c.example/api',
    'https://real.b.example/v2',
  ]);
  const [z, a, , c, own] = await findHosts([root], 'b.example');
  assert.deepEqual([...(z?.capabilities ?? [])], ['pull']);
  assert.equal(z?.connectMs, 60_500);
  assert.deepEqual(a?.headers, { 'x-one': ['1'], 'x-two': ['2', '3'] });
  assert.equal(a?.tls.skipVerify, true);
  assert.deepEqual(own?.tls.ca, [pem('ca')]);
  assert.deepEqual(a?.tls.ca, [], 'the certificates at the top are for the registry itself');
  assert.equal(c && repositoryAt(c, 'library/nginx'), 'hub/nginx');
  assert.equal(c && repositoryAt(c, 'team/nginx'), 'team/nginx');
});

test('a changed file counts at once', async () => {
  write('live.example/hosts.toml', 'server = "https://one.example"\n');
  assert.deepEqual(await endpoints('live.example'), ['https://one.example/v2']);
  write('live.example/hosts.toml', 'server = "https://two.example"\n');
  assert.deepEqual(await endpoints('live.example'), ['https://two.example/v2']);
  rmSync(join(root, 'live.example'), { recursive: true });
  assert.deepEqual(await endpoints('live.example'), ['https://live.example/v2']);
});

test('without hosts.toml the certificate files of Docker count', async () => {
  write('docker.example/ca.crt', pem('ca'));
  write('docker.example/client.cert', pem('client'));
  write('docker.example/client.key', '-----BEGIN PRIVATE KEY-----\n');
  write('docker.example/both.cert', pem('both'));
  const [host] = await findHosts([root], 'docker.example');
  assert.deepEqual(host?.tls.ca, [pem('ca')]);
  assert.deepEqual(host?.tls.clients, [
    { cert: pem('both'), key: pem('both') },
    { cert: pem('client'), key: '-----BEGIN PRIVATE KEY-----\n' },
  ]);
});

test('mistakes are told with file and key', async () => {
  const cases: [string, RegExp][] = [
    ['server = "ftp://x"\n', /hosts\.toml: "ftp:\/\/x" must be like https:\/\/host:port/],
    ['server = "https://user:pw@x"\n', /"x" must not hold credentials/],
    ['server = 5\n', /hosts\.toml: server: /],
    ['[host."https://x"]\nskip_verify = "yes"\n', /hosts\.toml: host\.https:\/\/x\.skip_verify: /],
    ['[host."https://x".header]\n"bad name" = "x"\n', /"bad name" is no header name/],
    ['[host."https://x".header]\nx = "a\\nb"\n', /value of header "x" has characters/],
    ['[host."https://x".rewrite]\n"(" = "x"\n', /rewrite "\(": /],
    ['dial_timeout = "0s"\n', /dial_timeout "0s" must be a duration above zero/],
    ['ca = "nope.pem"\n', /Cannot read registry certificate .*nope\.pem/],
    ['ca = "hosts.toml"\n', /Cannot use registry certificate .*hosts\.toml: it is not PEM/],
    ['a = [\n', /hosts\.toml: line \d+: /],
  ];
  for (const [content, says] of cases) {
    write('bad.example/hosts.toml', content);
    await assert.rejects(findHosts([root], 'bad.example'), says);
  }
});
