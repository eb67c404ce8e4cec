/** Credential providers that are real programs, asked over their standard streams. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, test } from 'node:test';
import { inspect } from 'node:util';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import type { RestRequest } from '../../ports.ts';
import { podOf } from '../../testing/pods.ts';
import { createPodCredentials } from '../pod-credentials.ts';
import { loadProviders } from './config.ts';
import { createCredentialProviders } from './providers.ts';
import { runProvider } from './run-provider.ts';
import { createAccountAsker } from './service-account.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

const group = 'credentialprovider.kubelet.k8s.io/v1';
const plain = {
  matchImages: ['*.example.com', 'docker.io/team'],
  defaultCacheDuration: '10m',
  apiVersion: group,
};

/** A directory with a program `prov` that keeps what it was asked and answers with the file `answer`. */
function setup(provider: object = plain) {
  const root = mkdtempSync('/tmp/skiff-cred-');
  roots.push(root);
  mkdirSync(`${root}/bin`);
  const script = `#!/bin/sh\ncat >> ${root}/asked; echo " $1 $EXTRA" >> ${root}/asked; cat ${root}/answer\n`;
  writeFileSync(`${root}/bin/prov`, script);
  chmodSync(`${root}/bin/prov`, 0o755);
  const configuration = (providers: object[], kind = 'CredentialProviderConfig') => {
    const value = { apiVersion: 'kubelet.config.k8s.io/v1', kind, providers };
    writeFileSync(`${root}/config.yaml`, JSON.stringify(value));
  };
  configuration([{ name: 'prov', ...provider }]);
  const answer = (value: unknown) => writeFileSync(`${root}/answer`, JSON.stringify(value));
  const asked = () => {
    try {
      return readFileSync(`${root}/asked`, 'utf8').trim().split('\n');
    } catch {
      return [];
    }
  };
  const load = () => loadProviders(`${root}/config.yaml`, `${root}/bin`);
  const clock = fakeClock();
  const open = (accounts = createAccountAsker(undefined, () => 0)) =>
    createCredentialProviders({
      providers: load(),
      binaryDirectory: `${root}/bin`,
      accounts,
      clock,
      log: silentLogger,
    });
  return { root, configuration, answer, asked, load, clock, open };
}

const answerOf = (cacheKeyType: string, cacheDuration?: string) => ({
  apiVersion: group,
  kind: 'CredentialProviderResponse',
  cacheKeyType,
  cacheDuration,
  auth: { 'r.example.com/team': { username: 'u', password: 'p' } },
});
const pod = podOf();

test('a program is asked for the images it is configured for, with arguments and environment', async () => {
  const { answer, asked, open } = setup({
    ...plain,
    args: ['get'],
    env: [{ name: 'EXTRA', value: 'more' }],
  });
  answer(answerOf('Image'));
  const providers = open();
  assert.deepEqual(await providers.keyringFor(pod, 'other.test/x:1'), []);
  assert.deepEqual(asked(), []);
  assert.deepEqual(await providers.keyringFor(pod, 'r.example.com/team/x:1'), [
    { key: 'r.example.com/team', credential: { username: 'u', password: 'p' } },
  ]);
  const [line = ''] = asked();
  assert.match(line, / get more$/);
  assert.deepEqual(JSON.parse(line.replace(/ get more$/, '')), {
    apiVersion: group,
    kind: 'CredentialProviderRequest',
    image: 'r.example.com/team/x',
  });
  await providers.keyringFor(pod, 'team/app');
  assert.match(asked()[1] ?? '', /"image":"docker.io\/team\/app"/);
});

for (const [type, again] of [
  ['Image', ['x', 'y']],
  ['Registry', ['x', 'other.example.com/x']],
  ['Global', ['x']],
] as const)
  test(`an answer is kept by ${type}`, async () => {
    const { answer, asked, open, clock } = setup();
    answer(answerOf(type, '1m'));
    const providers = open();
    for (const image of ['r.example.com/x', 'r.example.com/y', 'other.example.com/x', 'r.example.com/x'])
      await providers.keyringFor(pod, image);
    assert.equal(asked().length, type === 'Image' ? 3 : again.length);
    const before = asked().length;
    await clock.advance(61_000);
    await providers.keyringFor(pod, 'r.example.com/x');
    assert.equal(asked().length, before + 1, 'not longer than it says');
  });

test('0s is not kept; what says nothing is kept for the default; pods that start together ask once', async () => {
  const { answer, asked, open, clock } = setup();
  const providers = open();
  answer(answerOf('Image', '0s'));
  await Promise.all([
    providers.keyringFor(pod, 'r.example.com/x'),
    providers.keyringFor(pod, 'r.example.com/x'),
  ]);
  assert.equal(asked().length, 1);
  await providers.keyringFor(pod, 'r.example.com/x');
  assert.equal(asked().length, 2);
  answer(answerOf('Image'));
  await providers.keyringFor(pod, 'r.example.com/x');
  await clock.advance(9 * 60_000);
  await providers.keyringFor(pod, 'r.example.com/x');
  assert.equal(asked().length, 3);
});

test('a program that fails or talks nonsense gives nothing, and is asked again', async () => {
  const { answer, root, asked, open } = setup();
  const providers = open();
  writeFileSync(`${root}/answer`, 'no json');
  assert.deepEqual(await providers.keyringFor(pod, 'r.example.com/x'), []);
  answer({ ...answerOf('Image'), apiVersion: 'v0' });
  assert.deepEqual(await providers.keyringFor(pod, 'r.example.com/x'), []);
  answer({ ...answerOf('Sometimes') });
  assert.deepEqual(await providers.keyringFor(pod, 'r.example.com/x'), []);
  appendFileSync(`${root}/bin/prov`, 'exit 3\n');
  answer(answerOf('Image'));
  assert.deepEqual(await providers.keyringFor(pod, 'r.example.com/x'), []);
  assert.equal(asked().length, 4);
});

test('providers stand beside pull secrets and the node’s own credentials', async () => {
  const { answer, open } = setup();
  answer(answerOf('Image'));
  const credentials = createPodCredentials({
    api: undefined,
    events: { pod: () => {}, node: () => {} },
    directories: [],
    providers: open(),
  });
  assert.deepEqual(await credentials.forImage(pod, 'r.example.com/team/x:1'), [
    { username: 'u', password: 'p' },
  ]);
  assert.deepEqual(
    await credentials.forImage(pod, 'r.example.com/else'),
    [],
    'the answer is for the team only',
  );
});

test('with the pod’s identity: a token, annotations, and answers for each account', async () => {
  const tokenAttributes = {
    serviceAccountTokenAudience: 'registry',
    cacheType: 'ServiceAccount',
    requireServiceAccount: true,
    requiredServiceAccountAnnotationKeys: ['team'],
    optionalServiceAccountAnnotationKeys: ['role'],
  };
  const { answer, asked, open } = setup({ ...plain, tokenAttributes });
  answer(answerOf('Registry'));
  const asks: string[] = [];
  const api = {
    request: async <T>({ path }: RestRequest) =>
      ({
        metadata: { uid: 'u', annotations: path.endsWith('/bare') ? {} : { team: 'a', secret: 'no' } },
      }) as T,
    createToken: async (_namespace: string, account: string, { audiences }: { audiences?: string[] }) => {
      asks.push(`${account} ${audiences}`);
      return { token: `token-${asks.length}`, expirationTimestamp: '2030-01-01T00:00:00Z' };
    },
  };
  const providers = open(createAccountAsker(api, () => Date.parse('2029-12-31T23:00:00Z')));
  const as = (serviceAccountName?: string): Pod => ({ ...pod, spec: { ...pod.spec, serviceAccountName } });
  await providers.keyringFor(as('one'), 'r.example.com/x');
  await providers.keyringFor(as('one'), 'r.example.com/y');
  await providers.keyringFor(as('two'), 'r.example.com/x');
  assert.deepEqual(asks, ['one registry', 'two registry']);
  const request = JSON.parse((asked()[0] ?? '').trim());
  assert.equal(request.serviceAccountToken, 'token-1');
  assert.deepEqual(request.serviceAccountAnnotations, { team: 'a' });
  assert.deepEqual(await providers.keyringFor(as('bare'), 'r.example.com/x'), [], 'lacks an annotation');
  assert.deepEqual(await providers.keyringFor(as(), 'r.example.com/x'), [], 'has no account');
  assert.equal(asked().length, 2);
});

const wrong: [string, object[], RegExp][] = [
  ['no provider', [], /at least one provider/],
  ['no pattern', [{ ...plain, name: 'prov', matchImages: [] }], /at least one image pattern/],
  ['a path for a name', [{ ...plain, name: '../prov' }], /file name without spaces/],
  ['a program that is not there', [{ ...plain, name: 'none' }], /there is no credential provider/],
  ['an unknown version', [{ ...plain, name: 'prov', apiVersion: 'v9' }], /apiVersion/],
  ['an unknown field', [{ ...plain, name: 'prov', colour: 'red' }], /colour: unknown key/],
  [
    'one name twice',
    [
      { ...plain, name: 'prov' },
      { ...plain, name: 'prov' },
    ],
    /configured twice/,
  ],
  ['a wrong duration', [{ ...plain, name: 'prov', defaultCacheDuration: '-1s' }], /must not be negative/],
];
for (const [name, providers, message] of wrong)
  test(`a configuration with ${name} is refused`, () => {
    const { configuration, load } = setup();
    configuration(providers);
    assert.throws(load, message);
  });

test('a directory is read in the order of names', () => {
  const { root, load } = setup();
  mkdirSync(`${root}/conf`);
  writeFileSync(`${root}/conf/a.yaml`, readFileSync(`${root}/config.yaml`));
  writeFileSync(`${root}/conf/ignored.txt`, 'x');
  assert.equal(load().length, 1);
  assert.equal(loadProviders(`${root}/conf`, `${root}/bin`)[0]?.name, 'prov');
  assert.throws(() => loadProviders(`${root}/none`, `${root}/bin`), /Cannot read the credential providers/);
});

test('of an answer that is not JSON nothing is told, in no cause either', async () => {
  const { root, load } = setup();
  writeFileSync(`${root}/answer`, 'hunter2');
  const [provider = assert.fail('no provider')] = load();
  await assert.rejects(
    runProvider(provider, `${root}/bin`, { image: 'r.example.com/a' }),
    (error) =>
      error instanceof Error && /not JSON/.test(error.message) && !inspect(error).includes('hunter2'),
  );
});
