/**
 * What may go wrong around a VM: kills, panics, guests that stop, full disks. Each time the caller is told, and nothing is
 * left behind (the stage looks). `KILLS=50` kills the supervisor as many times.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { mount, unmount } from '#foundation/linux/mount.ts';
import { type OciStage, ociStage, until } from '../../../test/vm/oci-stage.ts';

const inPod = (pod: string) => (spec: RuntimeSpec) => {
  spec.annotations = {
    'io.kubernetes.cri.container-type': 'container',
    'io.kubernetes.cri.sandbox-id': pod,
  };
};
const kills = Number(process.env.KILLS ?? 3);
const idle = 'while :; do sleep 0.2; done';

test('of two creates of one id at once one makes it, the other says why not', async (t) => {
  const stage = ociStage(t);
  const bundle = stage.bundle('c1', idle);
  // A shim inherits the streams of its caller: only their end tells of it, so the losers are waited for.
  const ways = await Promise.all(
    Array.from({ length: 4 }, () => stage.detached('create', '-b', bundle, 'c1')),
  );
  assert.equal(ways.filter(({ code }) => code === 0).length, 1, JSON.stringify(ways));
  for (const { code, err } of ways) if (code !== 0) assert.match(err, /c1.* exists already/);
  assert.equal(stage.pods().length, 1);
  assert.equal(JSON.parse(stage.vm('state', 'c1').out).status, 'created');
  assert.equal(stage.vm('delete', '--force', 'c1').code, 0);
  assert.deepEqual(readdirSync(join(stage.root, '.pods')), []);
});

test('a guest that stops during a command, and on shutdown, is ended by force', async (t) => {
  const stage = ociStage(t);
  const container = await stage.conmon('c1', stage.bundle('c1', idle));
  assert.equal(stage.vm('start', 'c1').code, 0);
  const [pod] = stage.pods();
  assert.ok(pod !== undefined);
  process.kill(pod.vmmPid, 'SIGSTOP');
  const command = stage.detached('exec', 'c1', 'true');
  assert.equal(stage.vm('delete', '--force', 'c1').code, 0);
  assert.notEqual((await command).code, 0);
  assert.equal(await container.exit(), 137);
  assert.deepEqual(readdirSync(join(stage.root, '.pods')), []);
});

test('a guest whose kernel panics ends with its containers, and its console says why', async (t) => {
  const stage = ociStage(t);
  const container = await stage.conmon('c1', stage.bundle('c1', idle));
  assert.equal(stage.vm('start', 'c1').code, 0);
  const strong = stage.bundle('c2', 'echo c > /proc/sysrq-trigger; sleep 100', (spec) => {
    const all = ['CAP_SYS_ADMIN', 'CAP_DAC_OVERRIDE'];
    spec.process.capabilities = { bounding: all, effective: all, permitted: all };
    spec.annotations = {
      'io.kubernetes.cri.container-type': 'container',
      'io.kubernetes.cri.sandbox-id': 'c1',
    };
  });
  const [pod] = stage.pods();
  assert.equal(stage.vm('run', '-b', strong, 'c2').code, 137);
  assert.equal(await container.exit(), 137);
  assert.equal(JSON.parse(stage.vm('state', 'c1').out).status, 'stopped');
  const events = readFileSync(
    join(stage.root, '.pods', readdirSync(join(stage.root, '.pods'))[0] ?? '', 'events'),
    'utf8',
  );
  assert.match(events, /POD_ENDED.*kernel panicked: .*sysrq/i);
  assert.ok(pod !== undefined);
  for (const id of ['c1', 'c2']) stage.vm('delete', '--force', id);
  assert.equal(existsSync(pod.socket), false);
});

/** Something to be in the middle of, when the supervisor is killed. */
const works: ((stage: OciStage, name: string) => Promise<{ code: number; err: string }>)[] = [
  (stage) => stage.detached('exec', 'c1', 'sh', '-c', 'echo x; sleep 0.1; exit 0'),
  (stage, name) => stage.detached('run', '-b', stage.bundle(name, 'exit 0', inPod('p')), name),
  (stage, name) => stage.detached('create', '-b', stage.bundle(name, idle, inPod('p')), name),
  (stage) => stage.detached('update', '--memory', String(64 * 1024 * 1024), 'c1'),
  (stage) => stage.detached('events', '--stats', 'c1'),
];

test(`a supervisor that is killed ${kills} times at any moment loses no container and no byte`, {
  timeout: 60_000 + kills * 60_000,
}, async (t) => {
  const stage = ociStage(t);
  const count = 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done';
  const container = await stage.conmon('c1', stage.bundle('c1', count, inPod('p')));
  assert.equal(stage.vm('start', 'c1').code, 0);
  for (let i = 0; i < kills; i += 1) {
    const name = `w${i}`;
    const [pod] = stage.pods();
    const work = works[i % works.length]?.(stage, name);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 1500));
    try {
      process.kill(pod?.supervisorPid ?? 0, 'SIGKILL');
    } catch {
      // A command found it dead and started the next one.
    }
    const ended = await work;
    // It went well, or it says what went wrong.
    assert.ok(ended?.code === 0 || (ended?.err ?? '') !== '', JSON.stringify(ended));
    assert.equal(stage.vm('exec', 'c1', 'sh', '-c', 'exit 9').code, 9, `after kill ${i}`);
    stage.vm('delete', '--force', name);
    assert.equal(stage.vm('state', name).code, 1);
    const listed = JSON.parse(stage.vm('list', '-f', 'json').out) as { id: string }[];
    assert.deepEqual(
      listed.map(({ id }) => id),
      ['c1'],
      `after kill ${i}`,
    );
  }
  const numbers = () => [...container.log().matchAll(/F (\d+)$/gm)].map(([, number]) => Number(number));
  const before = numbers().length;
  await until(() => numbers().length > before + 5, 'more output');
  const all = numbers();
  assert.deepEqual(
    all,
    all.map((_, index) => index),
  );
  assert.equal(stage.vm('delete', '--force', 'c1').code, 0);
  assert.equal(await container.exit(), 137);
});

test('on a full disk a create fails with the reason and leaves nothing; what runs goes on and can be deleted', async (t) => {
  const stage = ociStage(t);
  mkdirSync(stage.root, { recursive: true });
  mount({ source: 'tmpfs', target: stage.root, type: 'tmpfs', data: 'size=32m' });
  // Before the stage looks what is left, and removes it.
  using _disk = { [Symbol.dispose]: () => unmount(stage.root, { lazy: true }) };
  const first = stage.bundle('c1', idle, inPod('p'));
  const container = await stage.conmon('c1', first);
  assert.equal(stage.vm('start', 'c1').code, 0);
  const filler = join(stage.root, 'filler');
  const { bavail, bsize } = statfsSync(stage.root);
  writeFileSync(filler, Buffer.alloc(bavail * bsize));
  const failed = await stage.detached('create', '-b', stage.bundle('c2', idle, inPod('p2')), 'c2');
  assert.equal(failed.code, 1);
  assert.match(failed.err, /no space left|ENOSPC/i);
  assert.equal(existsSync(join(stage.root, 'c2')), false);
  assert.equal(stage.pods().length, 1);
  assert.equal(stage.vm('exec', 'c1', 'sh', '-c', 'exit 9').code, 9);
  assert.equal(stage.vm('delete', '--force', 'c1').code, 0);
  assert.equal(await container.exit(), 137);
  assert.deepEqual(readdirSync(join(stage.root, '.pods')), []);
});
