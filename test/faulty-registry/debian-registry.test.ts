/** The client against Debian's docker-registry: what is pushed comes back, with every kind of login and TLS. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import { parseReference } from '#services/cri-server/images/reference.ts';
import {
  type AuthRequest,
  createRegistryClient,
  type Limits,
  type RegistryClient,
} from '#services/cri-server/images/registry/client.ts';
import { authority, certificateFor } from './certificates.ts';
import { type DebianRegistry, type RegistryOptions, startDebianRegistry } from './debian-registry.ts';
import { readAll, sampleImage, sha256, streamOf } from './sample.ts';
import { startTokenServer, tokenIssuer, tokenService, tokenUser } from './token-server.ts';

/** bcrypt of "secret", cost 5. */
const htpasswd = 'user:$2a$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n';
const limits: Partial<Limits> = { attempts: 5, backoffMs: 50, stallMs: 2000 };

interface Setting {
  registry: DebianRegistry;
  client: RegistryClient;
  /** Writes the registry's hosts.toml. */
  configure(text: string): void;
}

async function set(t: TestContext, options: RegistryOptions = {}): Promise<Setting> {
  const registry = await startDebianRegistry(options);
  t.after(() => registry[Symbol.asyncDispose]());
  const certs = join(registry.folder, 'certs.d');
  const client = createRegistryClient({
    certsDirs: [certs],
    dockerConfigs: [join(registry.folder, 'config-docker.json')],
    namespaceConfigs: join(registry.folder, 'namespaces'),
    limits,
  });
  t.after(() => client.close());
  const folder = join(certs, registry.address);
  const configure = (text: string) => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'hosts.toml'), text);
  };
  return { registry, client, configure };
}

/** Pushes an image, gets it back, and compares. */
async function roundTrip({ registry, client }: Setting, auth?: AuthRequest): Promise<void> {
  const reference = parseReference(`${registry.address}/team/app:v1`);
  const image = sampleImage();
  for (const [digest, content] of image.blobs) {
    const descriptor = { mediaType: 'application/octet-stream', digest, size: content.length };
    assert.equal(await client.hasBlob(reference, descriptor, { auth }), false);
    assert.equal(await client.pushBlob(reference, descriptor, () => streamOf(content), { auth }), 'pushed');
    assert.equal(await client.pushBlob(reference, descriptor, () => streamOf(content), { auth }), 'existing');
  }
  const type = image.descriptor.mediaType;
  assert.deepEqual(await client.pushManifest(reference, type, image.manifest, { auth }), image.descriptor);
  for (const named of [reference, { ...reference, tag: undefined, digest: image.descriptor.digest }])
    assert.deepEqual((await client.resolve(named, { auth })).descriptor, image.descriptor);
  for (const offset of [0, 1, 299_999, 300_000]) {
    const content = await readAll(await client.openBlob(reference, image.layer, { auth, offset }));
    assert.ok(image.blobs.get(image.layer.digest)?.subarray(offset).equals(content));
  }
  const elsewhere = { ...reference, path: 'team/other' };
  const open = () => assert.fail('a mount needs no bytes');
  const outcome = await client.pushBlob(elsewhere, image.layer, open, { auth, mountFrom: ['team/app'] });
  assert.equal(outcome, 'mounted');
}

async function fails(work: Promise<unknown>, code: string, says: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isSkiffError(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, says);
    return true;
  });
}

test('docker-registry: plain http on loopback', async (t) => roundTrip(await set(t)));

test('docker-registry: one on loopback that changes from http to https needs no word', async (t) => {
  const { certPath, keyPath } = await certificateFor('127.0.0.1');
  const setting = await set(t);
  const { registry, client } = setting;
  await roundTrip(setting);
  await registry.kill();
  const port = Number(registry.address.split(':')[1]);
  const secured = await startDebianRegistry({ tls: { certificate: certPath, key: keyPath }, port });
  t.after(() => secured[Symbol.asyncDispose]());
  const reference = parseReference(`${registry.address}/team/app:v1`);
  await fails(client.resolve(reference), 'NOT_FOUND', /MANIFEST_UNKNOWN/);
});

test('docker-registry: what is not there', async (t) => {
  const { registry, client } = await set(t);
  const reference = parseReference(`${registry.address}/team/app:v1`);
  const { layer } = sampleImage();
  await fails(client.resolve(reference), 'NOT_FOUND', /MANIFEST_UNKNOWN/);
  await fails(client.openBlob(reference, layer), 'NOT_FOUND', /BLOB_UNKNOWN/);
  await registry.kill();
  await fails(client.resolve(reference), 'UNKNOWN', /^RegistryUnavailable: .*refuses connections/);
});

test('docker-registry: htpasswd login from the request, and from a Docker config, live', async (t) => {
  const setting = await set(t, { htpasswd });
  const { registry, client } = setting;
  const reference = parseReference(`${registry.address}/team/app:v1`);
  await fails(client.resolve(reference), 'UNAUTHENTICATED', /wants credentials/);
  const wrong = { username: 'user', password: 'wrong' };
  await fails(client.resolve(reference, { auth: wrong }), 'UNAUTHENTICATED', /refused the credentials/);
  await roundTrip(setting, { username: 'user', password: 'secret', serverAddress: registry.address });
  const auths = { [registry.address]: { auth: Buffer.from('user:secret').toString('base64') } };
  mkdirSync(join(registry.folder, 'namespaces'));
  writeFileSync(join(registry.folder, 'namespaces', 'team-a.json'), JSON.stringify({ auths }));
  writeFileSync(join(registry.folder, 'elsewhere.json'), JSON.stringify({ auths }));
  await client.resolve(reference, { namespace: 'team-a' });
  for (const namespace of [undefined, 'team-b', '../elsewhere'])
    await fails(client.resolve(reference, { namespace }), 'UNAUTHENTICATED', /wants credentials/);
  writeFileSync(join(registry.folder, 'config-docker.json'), JSON.stringify({ auths }));
  await client.resolve(reference, { namespace: 'team-b' });
});

test('docker-registry: tokens, to pull for everybody and to push for one', async (t) => {
  const certificate = await certificateFor('token.example');
  const server = await startTokenServer(certificate);
  t.after(() => server[Symbol.asyncDispose]());
  const setting = await set(t, {
    token: {
      realm: server.realm,
      service: tokenService,
      issuer: tokenIssuer,
      rootCertBundle: authority.path,
    },
  });
  const { registry, client } = setting;
  await roundTrip(setting, tokenUser);
  const reference = parseReference(`${registry.address}/team/app:v1`);
  await client.resolve(reference);
  assert.equal(server.given.anonymous, 1);
  const push = client.pushManifest(
    reference,
    'application/vnd.oci.image.manifest.v1+json',
    Buffer.from('{}'),
  );
  await fails(push, 'UNAUTHENTICATED', /wants credentials/);
  const wrong = { username: 'user', password: 'wrong' };
  await fails(
    client.resolve(reference, { auth: wrong }),
    'UNAUTHENTICATED',
    /incorrect username or password/,
  );
});

test('docker-registry: TLS with an authority of its own, and client certificates', async (t) => {
  const server = await certificateFor('127.0.0.1');
  const node = await certificateFor('a-node');
  const tls = { certificate: server.certPath, key: server.keyPath, clientCa: authority.path };
  const setting = await set(t, { tls });
  const reference = parseReference(`${setting.registry.address}/team/app:v1`);
  const url = `https://${setting.registry.address}`;
  setting.configure(`server = "${url}"\n`);
  await fails(setting.client.resolve(reference), 'FAILED_PRECONDITION', /signed by an unknown authority/);
  setting.configure(`server = "${url}"\nca = "${authority.path}"\n`);
  await fails(
    setting.client.resolve(reference),
    'FAILED_PRECONDITION',
    /refused the client certificate, or wants one/,
  );
  setting.configure(
    `server = "${url}"\nca = "${authority.path}"\nclient = [["${node.certPath}", "${node.keyPath}"]]\n`,
  );
  await roundTrip(setting);
});

test('docker-registry: killed and started again in the middle of a blob', async (t) => {
  const { registry, client } = await set(t);
  const reference = parseReference(`${registry.address}/team/app:v1`);
  const content = randomBytes(40_000_000);
  const layer = { mediaType: 'application/octet-stream', digest: sha256(content), size: content.length };
  await client.pushBlob(reference, layer, () => streamOf(content, 1_000_000));
  const stream = await client.openBlob(reference, layer);
  await sleep(200); // Buffers on the way fill up; most of the blob is still in the registry.
  await registry.kill();
  await registry.start();
  assert.equal(sha256(await readAll(stream)), layer.digest);
});

test('docker-registry: killed twice in the middle of an upload, which goes on in pieces', async (t) => {
  const { registry } = await set(t);
  const client = createRegistryClient({ limits: { ...limits, attempts: 8, chunkBytes: 1_000_000 } });
  t.after(() => client.close());
  const reference = parseReference(`${registry.address}/team/app:v1`);
  const content = randomBytes(20_000_000);
  const layer = { mediaType: 'application/octet-stream', digest: sha256(content), size: content.length };
  const kills = [5_000_000, 15_000_000];
  let sent = 0;
  let restarting = Promise.resolve();
  const restart = () => registry.kill().then(registry.start);
  const ranges: string[] = [];
  const open = ({ start, end } = { start: 0, end: content.length - 1 }) => {
    ranges.push(`${start}-${end}`);
    return streamOf(content.subarray(start, end + 1));
  };
  const onProgress = (bytes: number) => {
    sent += bytes;
    if (sent < (kills[0] ?? Number.POSITIVE_INFINITY)) return;
    kills.shift();
    restarting = restarting.then(restart);
  };
  assert.equal(await client.pushBlob(reference, layer, open, { onProgress }), 'pushed');
  await restarting;
  assert.ok(sha256(await readAll(await client.openBlob(reference, layer))) === layer.digest);
  assert.ok(ranges.length > 15, ranges.join(' '));
});

test('docker-registry: without an API for referrers they are kept under a tag', async (t) => {
  const { registry, client } = await set(t);
  const reference = parseReference(`${registry.address}/team/app:v1`);
  const image = sampleImage();
  for (const [digest, content] of image.blobs) {
    const descriptor = { mediaType: 'application/octet-stream', digest, size: content.length };
    await client.pushBlob(reference, descriptor, () => streamOf(content));
  }
  const type = image.descriptor.mediaType;
  await client.pushManifest(reference, type, image.manifest);
  const subject = image.descriptor;
  assert.deepEqual(await client.listReferrers(reference, subject.digest), []);
  const parts = JSON.parse(image.manifest.toString());
  const signature = (artifactType: string) =>
    Buffer.from(JSON.stringify({ ...parts, artifactType, subject, annotations: { of: artifactType } }));
  const pushed = [];
  for (const name of ['a/signature', 'a/bill', 'a/bill']) {
    const unnamed = { ...reference, tag: undefined };
    pushed.push(await client.pushManifest(unnamed, type, signature(name)));
  }
  const all = await client.listReferrers(reference, subject.digest);
  assert.deepEqual(
    all.map(({ digest, artifactType, annotations }) => [digest, artifactType, annotations]),
    [
      [pushed[0]?.digest, 'a/signature', { of: 'a/signature' }],
      [pushed[1]?.digest, 'a/bill', { of: 'a/bill' }],
    ],
  );
  const bills = await client.listReferrers(reference, subject.digest, { artifactType: 'a/bill' });
  assert.deepEqual(
    bills.map(({ digest }) => digest),
    [pushed[1]?.digest],
  );
});
