/**
 * What may go wrong around a VM: kills, panics, guests that stop, full disks, huge roots. Each time the caller is told,
 * and nothing is left behind (the stage looks). `KILLS=50` kills the supervisor as many times, `FILES=1000000` makes a
 * root of as many files.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
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
const files = Number(process.env.FILES ?? 20_000);
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

/** The directory of the only pod, and what it tells of its life. */
const podDirectory = ({ root }: OciStage) => join(root, '.pods', readdirSync(join(root, '.pods'))[0] ?? '');
const eventsOf = (stage: OciStage) => readFileSync(join(podDirectory(stage), 'events'), 'utf8');

test('a VM whose file server is killed ends with its containers, and says why', async (t) => {
  const stage = ociStage(t);
  const container = await stage.conmon(
    'c1',
    stage.bundle('c1', 'while :; do cat /bin/busybox >/dev/null; done'),
  );
  assert.equal(stage.vm('start', 'c1').code, 0);
  const share = readFileSync(join(podDirectory(stage), 'vm', 'share', 'share.json'), 'utf8');
  process.kill((JSON.parse(share) as { server: { pid: number } }).server.pid, 'SIGKILL');
  assert.equal(await container.exit(), 137);
  assert.equal(JSON.parse(stage.vm('state', 'c1').out).status, 'stopped');
  assert.match(eventsOf(stage), /POD_ENDED.*the file server of the VM ended/);
  assert.equal(stage.vm('delete', 'c1').code, 0);
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
  assert.match(eventsOf(stage), /POD_ENDED.*kernel panicked: .*sysrq/i);
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

/** Kills the supervisor at some moment of some work; the container `c1` must not notice, and what began must be whole or gone. */
async function killOnce(stage: OciStage, i: number): Promise<void> {
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
  assert.equal(stage.vm('exec', 'c1', 'sh', '-c', 'exit 9').code, 9);
  stage.vm('delete', '--force', name);
  assert.equal(stage.vm('state', name).code, 1);
  const listed = JSON.parse(stage.vm('list', '-f', 'json').out) as { id: string }[];
  assert.deepEqual(
    listed.map(({ id }) => id),
    ['c1'],
  );
}

test(`a supervisor that is killed ${kills} times at any moment loses no container and no byte`, {
  timeout: 60_000 + kills * 60_000,
}, async (t) => {
  const stage = ociStage(t);
  const count = 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done';
  const container = await stage.conmon('c1', stage.bundle('c1', count, inPod('p')));
  assert.equal(stage.vm('start', 'c1').code, 0);
  for (let i = 0; i < kills; i += 1) await t.test(`kill ${i + 1}`, () => killOnce(stage, i));
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

test(`a root of ${files} files is there at once, whole, and goes without a trace`, {
  timeout: 1_200_000,
}, async (t) => {
  const stage = ociStage(t);
  const script =
    'for d in /many/*; do set -- "$d"/*; n=$((n + $#)); done; echo $n; read x </many/d0/f7 || echo empty';
  const bundle = stage.bundle('c1', script);
  const many = join(bundle, 'rootfs', 'many');
  makeFiles(many);
  const start = performance.now();
  const small = stage.vm('run', '-b', stage.bundle('c2', 'exit 4'), 'c2');
  const smallMs = performance.now() - start;
  assert.equal(small.code, 4);
  const begun = performance.now();
  const big = await stage.conmon('c1', bundle);
  t.diagnostic(
    `created in ${Math.round(performance.now() - begun)} ms; a whole small one took ${Math.round(smallMs)} ms`,
  );
  assert.equal(stage.vm('start', 'c1').code, 0);
  assert.equal(await big.exit(), 0);
  t.diagnostic(`looked through after ${Math.round(performance.now() - begun)} ms`);
  assert.match(big.log(), new RegExp(`stdout F ${files}\\n.*stdout F empty`, 's'));
  const ended = performance.now();
  assert.equal(stage.vm('delete', 'c1').code, 0);
  t.diagnostic(`deleted in ${Math.round(performance.now() - ended)} ms`);
  assert.deepEqual(readdirSync(join(stage.root, '.pods')), []);
  assert.equal(readdirSync(join(many, 'd0')).length, Math.min(files, 1000));
  rmSync(many, { recursive: true });
});

/** Empty files, a thousand in a directory. */
function makeFiles(directory: string): void {
  for (let i = 0; i < files; i += 1) {
    const below = join(directory, `d${Math.floor(i / 1000)}`);
    if (i % 1000 === 0) mkdirSync(below, { recursive: true });
    closeSync(openSync(join(below, `f${i % 1000}`), 'wx'));
  }
}
