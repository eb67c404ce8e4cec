/** The life of an image, as a person lives it: built, named, pushed to a private registry, removed, pulled, run. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { authority, certificateFor } from '../faulty-registry/certificates.ts';
import { type DebianRegistry, startDebianRegistry } from '../faulty-registry/debian-registry.ts';
import { eventually, launcher, type TestRoot, testRoot } from './harness.ts';

/** bcrypt of "secret", cost 5. */
const htpasswd = 'user:$2a$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n';
const creds = ['--creds', 'user:secret'];

describe('the life of an image', { timeout: 480_000 }, () => {
  let root: TestRoot;
  let registry: DebianRegistry;
  let name: string;
  let built: string;

  before(async () => {
    root = testRoot();
    const { certPath, keyPath } = await certificateFor('127.0.0.1');
    registry = await startDebianRegistry({ htpasswd, tls: { certificate: certPath, key: keyPath } });
    name = `${registry.address}/team/app:v1`;
    // As `up` starts it, so that `down` ends it too.
    spawn(launcher, ['--root', root.path, 'node', '--started-by', 'up'], { stdio: 'ignore' });
    await eventually('the node answers', async () =>
      (await root.skiff(['images'])).code === 0 ? true : undefined,
    );
  });
  after(async () => {
    await registry?.[Symbol.asyncDispose]();
    await root.dispose();
  });

  const skiff = async (...args: string[]) => {
    const ended = await root.skiff(args);
    assert.equal(ended.code, 0, `${args.join(' ')}: ${ended.stderr}`);
    return ended.stdout;
  };
  const refused = async (code: number, says: RegExp, ...args: string[]) => {
    const ended = await root.skiff(args);
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stderr, says);
  };
  const ids = async () =>
    (JSON.parse(await skiff('images', '--json')) as { id: string }[]).map(({ id }) => id);

  test('it is built, and gets the name of a registry', async () => {
    const made = JSON.parse(
      await skiff('image', 'debian', 'busybox-static', '-t', 'localhost/app:1', '--json'),
    );
    assert.equal(made.image, 'localhost/app:1');
    assert.equal(await skiff('tag', 'localhost/app:1', 'localhost/app:2'), '');
    await skiff('rmi', 'localhost/app:2');
    const tagged = JSON.parse(await skiff('tag', 'localhost/app:1', name, '--json'));
    assert.deepEqual(tagged, { image: name, id: made.id });
    const all = await ids();
    assert.deepEqual(all, [made.id]);
    built = made.id;
    const [inspected] = JSON.parse(await skiff('inspect', '--json', name));
    assert.equal(inspected.image.id, built);
  });

  test('it is pushed: the registry must be trusted, and wants a login', async () => {
    const hosts = `${root.path}/etc/certs.d/${registry.address}`;
    mkdirSync(hosts, { recursive: true });
    writeFileSync(`${hosts}/hosts.toml`, `server = "https://${registry.address}"\n`);
    await refused(69, /^skiff: Cannot push "[^"]*": .*unknown authority/m, 'push', name, ...creds);
    writeFileSync(
      `${hosts}/hosts.toml`,
      `server = "https://${registry.address}"\nca = "${authority.path}"\n`,
    );
    await refused(77, /wants credentials/, 'push', name);
    await refused(77, /refused the credentials/, 'push', name, '--creds', 'user:wrong');
    assert.match(await skiff('push', name, ...creds), /^sha256:[0-9a-f]{64}\n$/);
  });

  test('it is removed, name by name', async () => {
    assert.equal(await skiff('rmi', 'localhost/app:1'), 'untagged localhost/app:1\n');
    assert.deepEqual(await ids(), [built]);
    assert.match(await skiff('rmi', name), new RegExp(`deleted ${built}\n$`));
    assert.deepEqual(await ids(), []);
    await refused(66, /there is no image/, 'rmi', name);
  });

  test('it is pulled again, the same to the bit', async () => {
    await refused(77, /wants credentials/, 'pull', name);
    assert.equal(await skiff('pull', name, ...creds), `${built}\n`);
    assert.equal(await skiff('image', 'verify'), '4 parts checked\n');
    assert.deepEqual(JSON.parse(await skiff('image', 'verify', '--json')), { checked: 4, damaged: [] });
    await refused(66, /not found/, 'pull', `${registry.address}/team/other:v1`, ...creds);
  });

  test('it is saved to standard output, behind what stands there, and loaded from standard input', async () => {
    const file = `${root.path}/saved`;
    const run = (command: string) => execFileSync('sh', ['-c', command], { encoding: 'utf8' });
    const verb = `${launcher} --root ${root.path}`;
    run(`printf before > ${file}; ${verb} save ${name} -o - >> ${file}; printf after >> ${file}`);
    assert.throws(() => run(`${verb} save no/such -o - >> ${file} 2>&1`), { status: 66 });
    await refused(64, /cannot both go to standard output/, 'save', name, '-o', '-', '--json');
    const archive = `${root.path}/archive.tar`;
    const told = JSON.parse(await skiff('save', name, '-o', archive, '--format', 'oci', '--json'));
    const { bytes, ...rest } = told;
    assert.deepEqual(rest, { images: [name], path: archive, format: 'oci' });
    assert.ok(bytes > 0 && bytes < statSync(archive).size, 'what is in it, without the headers of the tar');
    await skiff('rmi', name);
    const loaded = run(`tail -c +7 ${file} | ${verb} load -i -`);
    assert.equal(loaded, `loaded ${name}\n`);
    assert.deepEqual(await ids(), [built]);
    assert.match(readFileSync(file, 'latin1'), /^before.*after.*no such image/s);
  });

  test('a pod runs from it, with the credentials that the machine keeps for the registry', async () => {
    const auths = { [registry.address]: { auth: Buffer.from('user:secret').toString('base64') } };
    writeFileSync(`${root.path}/etc/registry-auth.json`, JSON.stringify({ auths }));
    await skiff('rmi', name);
    const container = {
      name: 'app',
      image: name,
      imagePullPolicy: 'Always',
      command: ['/bin/busybox', 'echo', 'hello from the registry'],
    };
    const spec = { restartPolicy: 'Never', containers: [container] };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'app' }, spec };
    writeFileSync(`${root.path}/pod.json`, JSON.stringify(pod));
    await skiff('up', '-d', `${root.path}/pod.json`);
    assert.match(await skiff('logs', 'app'), /hello from the registry/);
    assert.deepEqual(await ids(), [built]);
    await refused(69, /used by the container [0-9a-f]{12}; remove them first/, 'rmi', name);
    assert.deepEqual(await ids(), [built]);
    const once = { ...pod, metadata: { name: 'once' } };
    writeFileSync(`${root.path}/once.json`, JSON.stringify(once));
    const shown = await skiff('up', `${root.path}/once.json`);
    assert.match(shown, /app \| hello from the registry/, 'what ends at once is shown all the same');
    const removed = JSON.parse(await skiff('rmi', '--force', '--json', name)) as { deleted: string };
    assert.equal(removed.deleted, built);
    assert.deepEqual(await ids(), []);
  });
});
