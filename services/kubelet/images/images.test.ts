/** Pull policies, names, credentials and back-offs (kubelet-facts 2 and 6). */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import type { Secret } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import type { ImageCalls } from '../runtime-manager/runtime-calls.ts';
import { StartError } from '../runtime-manager/start-error.ts';
import { podOf } from '../testing/pods.ts';
import { createImageManager } from './ensure-image.ts';
import { type Credential, credentialsFor, keyringOfSecret } from './keyring.ts';
import { createPullQueue } from './pull-queue.ts';
import { createPullRate } from './pull-rate.ts';
import { createPullRecords } from './pull-records.ts';
import { parseImageName, pullPolicyOf, withDefaultTag } from './reference.ts';

test('names, default tags and default policies', () => {
  assert.equal(withDefaultTag('nginx'), 'nginx:latest');
  assert.equal(withDefaultTag('r:5000/a/b'), 'r:5000/a/b:latest');
  assert.equal(withDefaultTag('nginx:1'), 'nginx:1');
  const digest = `nginx@sha256:${'a'.repeat(64)}`;
  assert.equal(withDefaultTag(digest), digest);
  for (const bad of ['', 'UPPER', 'a b', 'a:', '/x', 'a@sha256:1'])
    assert.equal(parseImageName(bad), undefined, bad);
  assert.equal(pullPolicyOf(undefined, 'nginx'), 'Always');
  assert.equal(pullPolicyOf(undefined, 'nginx:latest'), 'Always');
  assert.equal(pullPolicyOf(undefined, 'nginx:1'), 'IfNotPresent');
  assert.equal(pullPolicyOf(undefined, digest), 'IfNotPresent');
  assert.equal(pullPolicyOf('Never', 'nginx'), 'Never');
});

const login = (username: string): Credential => ({ username, password: 'p' });
const secret = (auths: object): Secret => ({
  metadata: { name: 's' },
  type: 'kubernetes.io/dockerconfigjson',
  data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') },
});

for (const [type, key] of [
  ['kubernetes.io/dockerconfigjson', '.dockerconfigjson'],
  ['kubernetes.io/dockercfg', '.dockercfg'],
] as const)
  test(`of a pull secret that cannot be read nothing is told: ${type}`, () => {
    const data = { [key]: Buffer.from('hunter2').toString('base64') };
    const read = () => keyringOfSecret({ metadata: { name: 's' }, type, data });
    assert.throws(read, { message: 'its credentials are no JSON' });
  });

test('credentials: hosts, globs, paths; the longest key first', () => {
  const auth = (user: string) => ({ auth: Buffer.from(`${user}:p`).toString('base64') });
  const keyring = keyringOfSecret(
    secret({
      'https://index.docker.io/v1/': auth('hub'),
      'r.example:5000': auth('host'),
      'r.example:5000/team': auth('team'),
      '*.glob.example': auth('glob'),
    }),
  );
  const users = (image: string) => credentialsFor(image, keyring).map(({ username }) => username);
  assert.deepEqual(users('nginx'), ['hub']);
  assert.deepEqual(users('r.example:5000/team/x'), ['team', 'host']);
  assert.deepEqual(users('r.example:5000/other/x'), ['host']);
  assert.deepEqual(users('r.example/x'), []);
  assert.deepEqual(users('a.glob.example/x'), ['glob']);
  assert.deepEqual(users('a.b.glob.example/x'), []);
});

test('records: only who proved it may use what another’s secret pulled', () => {
  const directory = mkdtempSync('/tmp/skiff-rec-');
  try {
    const records = createPullRecords(directory, () => 0);
    assert.equal(records.mayUse('pre', 'sha256:pre', []), true);
    records.begin('img');
    assert.equal(records.mayUse('img', 'sha256:1', []), false, 'a crash in a pull proves nothing');
    records.pulled('img', 'sha256:1', login('a'));
    assert.equal(records.mayUse('img', 'sha256:1', []), false);
    assert.equal(records.mayUse('img', 'sha256:1', [login('b')]), false);
    assert.equal(records.mayUse('img', 'sha256:1', [login('b'), login('a')]), true);
    assert.equal(createPullRecords(directory, () => 0).mayUse('img', 'sha256:1', []), false);
    const lax = createPullRecords(directory, () => 0, { policy: 'NeverVerify', allowlist: [] });
    assert.equal(lax.mayUse('img', 'sha256:1', []), true);
    records.pulled('img', 'sha256:1', undefined);
    assert.equal(records.mayUse('img', 'sha256:1', []), true);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

for (const [policy, image, wanted] of [
  ['AlwaysVerify', 'r.test/a', false],
  ['NeverVerifyPreloadedImages', 'r.test/a', true],
  ['NeverVerifyAllowlistedImages', 'r.test/a:1', true],
  ['NeverVerifyAllowlistedImages', 'r.test/b', false],
  ['NeverVerifyAllowlistedImages', 'r.test/team/x/y:2', true],
  ['NeverVerifyAllowlistedImages', 'r.test/teams/x', false],
  ['NeverVerifyAllowlistedImages', 'busybox', true],
] as const)
  test(`a preloaded ${image} with ${policy}: ${wanted ? 'as it is' : 'proven first'}`, () => {
    const directory = mkdtempSync('/tmp/skiff-rec-');
    try {
      const allowlist = ['r.test/a', 'r.test/team/*', 'busybox'];
      const records = createPullRecords(directory, () => 0, { policy, allowlist });
      assert.equal(records.mayUse(image, 'sha256:pre', []), wanted);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

test('pulls follow one another only so fast', async () => {
  const clock = fakeClock();
  const rate = createPullRate(2, 3, clock);
  assert.deepEqual([rate.take(), rate.take(), rate.take(), rate.take()], [true, true, true, false]);
  await clock.advance(500);
  assert.deepEqual([rate.take(), rate.take()], [true, false]);
  const free = createPullRate(0, 0, clock);
  assert.equal(free.take(), true);
});

test('pulls of one image are shared; others wait for their turn', async () => {
  const queue = createPullQueue(1);
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = queue.run('a', async () => {
    order.push('a');
    await gate.promise;
    return 1;
  });
  const shared = queue.run('a', async () => 2);
  const second = queue.run('b', async () => {
    order.push('b');
    return 3;
  });
  await Promise.resolve();
  assert.deepEqual(order, ['a']);
  gate.resolve();
  assert.deepEqual(await Promise.all([first, shared, second]), [1, 1, 3]);
  assert.deepEqual(order, ['a', 'b']);
});

function fixture(options: { present?: boolean; credentials?: Credential[] } = {}) {
  const clock = fakeClock();
  const directory = mkdtempSync('/tmp/skiff-img-');
  const pulls: (string | undefined)[] = [];
  const events: string[] = [];
  const state = { present: options.present === true, error: undefined as Error | undefined };
  const images = {
    async imageStatus() {
      return state.present ? { image: { id: 'sha256:1', size: 7n } } : {};
    },
    async pullImage({ auth }: { auth?: Credential }) {
      pulls.push(auth?.username);
      if (state.error !== undefined) throw state.error;
      state.present = true;
      return { imageRef: 'sha256:1' };
    },
  } as unknown as ImageCalls;
  const manager = createImageManager({
    images,
    clock,
    events: { pod: (_, __, reason, message) => events.push(`${reason}: ${message}`), node: () => {} },
    credentials: { forImage: async () => options.credentials ?? [] },
    records: createPullRecords(directory, () => 0),
    parallelPulls: 1,
  });
  const ensure = (image: string, policy?: string) =>
    manager.ensure({
      pod: podOf(),
      container: 'a',
      image,
      policy,
      sandboxConfig: undefined,
      runtimeHandler: '',
      signal: new AbortController().signal,
    });
  const reasonOf = async (work: Promise<unknown>) => {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return error instanceof StartError ? error.reason : undefined;
  };
  const clean = () => rmSync(directory, { recursive: true });
  return { clock, pulls, events, state, ensure, reasonOf, clean };
}

test('IfNotPresent uses what is there, Always pulls, Never refuses', async () => {
  const there = fixture({ present: true });
  await there.ensure('x:1', 'IfNotPresent');
  assert.deepEqual(
    [there.pulls.length, there.events],
    [0, ['Pulled: Container image "x:1" already present on machine']],
  );
  await there.ensure('x:1', 'Always');
  assert.equal(there.pulls.length, 1);
  there.clean();
  const absent = fixture();
  assert.equal(await absent.reasonOf(absent.ensure('x:1', 'Never')), 'ErrImageNeverPull');
  assert.equal(await absent.reasonOf(absent.ensure('X:1')), 'InvalidImageName');
  assert.equal(absent.pulls.length, 0);
  assert.deepEqual(
    absent.events.filter((each) => each.startsWith('Failed: ')),
    ['Failed: Error: ErrImageNeverPull', 'Failed: Error: InvalidImageName'],
  );
  absent.clean();
});

test('a failing pull backs off: 10 s, 20 s, and forgets on success', async () => {
  const { clock, pulls, state, ensure, reasonOf, events, clean } = fixture();
  state.error = new Error('no route');
  assert.equal(await reasonOf(ensure('x:1')), 'ErrImagePull');
  assert.equal(await reasonOf(ensure('x:1')), 'ImagePullBackOff');
  await clock.advance(10_000);
  assert.equal(await reasonOf(ensure('x:1')), 'ErrImagePull');
  await clock.advance(15_000);
  assert.equal(await reasonOf(ensure('x:1')), 'ImagePullBackOff');
  await clock.advance(5000);
  state.error = undefined;
  await ensure('x:1');
  assert.equal(pulls.length, 3);
  assert.ok(events.some((each) => each.startsWith('Failed: Failed to pull image "x:1": no route')));
  assert.deepEqual(
    events.filter((each) => each.startsWith('Failed: Error')),
    ['ErrImagePull', 'ImagePullBackOff', 'ErrImagePull', 'ImagePullBackOff'].map(
      (each) => `Failed: Error: ${each}`,
    ),
  );
  assert.match(events.at(-1) ?? '', /^Pulled: Successfully pulled image "x:1" in .* Image size: 7 bytes\.$/);
  clean();
});

test('each credential is tried; a runtime’s named failures keep their names', async () => {
  const { pulls, state, ensure, reasonOf, clean } = fixture({ credentials: [login('a'), login('b')] });
  state.error = new Error('RegistryUnavailable: 503');
  assert.equal(await reasonOf(ensure('x:1')), 'ErrImagePull');
  assert.deepEqual(pulls, ['a', 'b']);
  clean();
  const single = fixture();
  single.state.error = new Error('SignatureValidationFailed: bad');
  assert.equal(await single.reasonOf(single.ensure('x:1')), 'SignatureValidationFailed');
  single.clean();
});
