/** The main job, as a person does it: `skiff up`, a look around, a crash of the node, `skiff down`. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { freePort } from '#foundation/base/free-port.ts';
import { eventually, type TestRoot, testRoot } from './harness.ts';

const example = readFileSync(new URL('../../examples/web.yaml', import.meta.url), 'utf8');

describe('skiff up', { timeout: 240_000 }, () => {
  let root: TestRoot;
  let port: number;
  let manifest: string;

  before(async () => {
    root = testRoot();
    port = await freePort();
    manifest = `${root.path}/web.yaml`;
    writeFileSync(manifest, example.replace('hostPort: 8080', `hostPort: ${port}`));
  });
  after(() => root.dispose());

  const page = async () => (await fetch(`http://127.0.0.1:${port}/`)).text();
  const ps = async () => {
    const { stdout } = await root.skiff(['ps', '--json']);
    return JSON.parse(stdout) as {
      id: string;
      name: string;
      pod: string;
      state: string;
      ready: boolean;
      restarts: number;
    }[];
  };

  test('-d runs the example and returns when the page is there', async () => {
    const { code, stdout, stderr } = await root.skiff(['up', '-d', manifest]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /configmap\/web-settings created/);
    assert.match(stdout, /pod\/web created/);
    assert.match(stdout, new RegExp(`web: http://localhost:${port}/`));
    const html = await eventually('the page of the writer', async () => {
      const text = await page();
      return text.includes('Hello from Skiff') ? text : undefined;
    });
    assert.match(html, /Pod web in default at 10\.\d+\.\d+\.\d+/);
  });

  test('ps and pods show it ready', async () => {
    const containers = await ps();
    assert.deepEqual(containers.map((each) => each.name).sort(), ['server', 'writer']);
    for (const each of containers)
      assert.deepEqual([each.pod, each.state, each.ready, each.restarts], ['web', 'Running', true, 0]);
    const { stdout } = await root.skiff(['pods']);
    assert.match(stdout, /^web +2\/2 +Running +0 +10\./m);
  });

  test('logs, exec with its exit code and input, inspect, events and images work', async () => {
    assert.match((await root.skiff(['logs', 'web', 'writer', '--tail', '1'])).stdout, /^page written\n$/);
    const both = await root.skiff(['logs', 'web']);
    assert.match(both.stdout, /^writer \| page written$/m);
    const exec = await root.skiff([
      'exec',
      'web',
      '-c',
      'writer',
      'sh',
      '-c',
      'echo $POD_NAME; echo bad >&2; exit 7',
    ]);
    assert.deepEqual([exec.code, exec.stdout, exec.stderr], [7, 'web\n', 'bad\n']);
    const inspected = JSON.parse((await root.skiff(['inspect', 'web'])).stdout) as object[];
    assert.equal(inspected.length, 4, 'a sandbox, an init container and two containers');
    assert.match((await root.skiff(['events'])).stdout, /pod\/web {2}Started: /);
    assert.match((await root.skiff(['images'])).stdout, /localhost\/skiff\/web +1 /);
  });

  test('a second up of the same manifest changes nothing', async () => {
    const before = (await ps()).map((each) => each.id).sort();
    const { code, stdout } = await root.skiff(['up', '-d', manifest]);
    assert.equal(code, 0);
    assert.match(stdout, /pod\/web unchanged/);
    assert.deepEqual((await ps()).map((each) => each.id).sort(), before);
  });

  test('kill -9 of the node leaves the pod running, and the next start adopts it', async () => {
    const before = (await ps()).map((each) => each.id).sort();
    const info = JSON.parse(readFileSync(`${root.path}/run/node.json`, 'utf8')) as {
      process: { pid: number };
    };
    process.kill(info.process.pid, 'SIGKILL');
    assert.match(await page(), /Hello from Skiff/);
    const { code, stdout, stderr } = await root.skiff(['up', '-d', manifest]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /pod\/web unchanged/);
    const containers = await ps();
    assert.deepEqual(containers.map((each) => each.id).sort(), before);
    for (const each of containers) assert.equal(each.restarts, 0);
  });

  test('down ends the pod and the node', async () => {
    const { code, stderr } = await root.skiff(['down']);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /the node has ended/);
    await assert.rejects(page());
    assert.equal((await root.skiff(['ps'])).code, 69);
  });
});

test('up without -d follows the logs and Ctrl-C takes everything down', { timeout: 120_000 }, async (t) => {
  const root = testRoot();
  t.after(() => root.dispose());
  const manifest = `${root.path}/m.yaml`;
  writeFileSync(manifest, example.replace('hostPort: 8080', `hostPort: ${await freePort()}`));
  const up = root.start(['up', manifest]);
  let output = '';
  up.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const ended = new Promise<number | null>((resolve) => up.once('exit', resolve));
  await eventually(
    'a prefixed log line',
    async () => (/writer *\| page written/.test(output) ? true : undefined),
    60_000,
  );
  up.kill('SIGINT');
  assert.equal(await ended, 0);
  assert.equal((await root.skiff(['ps'])).code, 69);
});

test('down after a killed node ends what it left running', { timeout: 120_000 }, async (t) => {
  const root = testRoot();
  t.after(() => root.dispose());
  const manifest = `${root.path}/m.yaml`;
  writeFileSync(manifest, example.replace('hostPort: 8080', `hostPort: ${await freePort()}`));
  assert.equal((await root.skiff(['up', '-d', manifest])).code, 0);
  const info = JSON.parse(readFileSync(`${root.path}/run/node.json`, 'utf8')) as { process: { pid: number } };
  process.kill(info.process.pid, 'SIGKILL');
  const { code, stderr } = await root.skiff(['down']);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /the node was killed; starting it to end its pods/);
});
