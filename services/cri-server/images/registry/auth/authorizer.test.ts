import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '#foundation/base/time.ts';
import { type AuthTarget, createAuthorizer } from './authorizer.ts';
import { anonymous, type Credentials } from './credentials.ts';
import type { SendTokenRequest } from './token.ts';

const user: Credentials = { kind: 'password', username: 'user', password: 'secret' };
const challenge = [{ scheme: 'bearer', parameters: { realm: 'https://token.example/t', service: 's' } }];

function target(change: Partial<AuthTarget> = {}): AuthTarget {
  const scopes = ['repository:app:pull'];
  return { what: 'pull app', origin: 'https://r.example', scopes, credentials: anonymous, ...change };
}

function setUp(expiresIn?: number) {
  let now = 0;
  let sent = 0;
  const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };
  const urls: string[] = [];
  const send: SendTokenRequest = async ({ url }) => {
    sent += 1;
    urls.push(url.href);
    return { status: 200, text: JSON.stringify({ token: `t${sent}`, expires_in: expiresIn }) };
  };
  const authorizer = createAuthorizer({ clock });
  const pass = (ms: number) => {
    now += ms;
  };
  return { authorizer, send, pass, urls };
}

test('a token is used until ten seconds before its end', async () => {
  const { authorizer, send, pass } = setUp(300);
  assert.equal(authorizer.known(target()), undefined);
  assert.equal(await authorizer.answer(target(), challenge, undefined, send), 'Bearer t1');
  pass(289_000);
  assert.equal(authorizer.known(target()), 'Bearer t1');
  pass(1_001);
  assert.equal(authorizer.known(target()), undefined);
});

test('without a figure, and with one that is too small, a token lasts a minute', async () => {
  for (const expiresIn of [undefined, 1]) {
    const { authorizer, send, pass } = setUp(expiresIn);
    await authorizer.answer(target(), challenge, undefined, send);
    pass(49_000);
    assert.equal(authorizer.known(target()), 'Bearer t1');
    pass(2_000);
    assert.equal(authorizer.known(target()), undefined);
  }
});

test('tokens belong to an origin, scopes and credentials', async () => {
  const { authorizer, send } = setUp(300);
  await authorizer.answer(target(), challenge, undefined, send);
  assert.equal(authorizer.known(target({ credentials: user })), undefined);
  assert.equal(authorizer.known(target({ origin: 'http://r.example' })), undefined);
  assert.equal(authorizer.known(target({ scopes: ['repository:app:pull,push'] })), undefined);
});

test('a rejected token is replaced; one that another request got meanwhile is taken', async () => {
  const { authorizer, send, urls } = setUp(300);
  const old = await authorizer.answer(target(), challenge, undefined, send);
  assert.equal(await authorizer.answer(target(), challenge, old, send), 'Bearer t2');
  assert.equal(await authorizer.answer(target(), challenge, old, send), 'Bearer t2');
  assert.equal(urls.length, 2);
});

test('the scopes that the registry names are asked for beside those that are needed', async () => {
  const { authorizer, send, urls } = setUp();
  const wants = [
    { scheme: 'bearer', parameters: { ...challenge[0]?.parameters, scope: 'repository:x:pull a:b:c' } },
  ];
  await authorizer.answer(target(), wants, undefined, send);
  assert.deepEqual(new URL(urls[0] ?? '').searchParams.getAll('scope'), [
    'repository:app:pull',
    'repository:x:pull',
    'a:b:c',
  ]);
});

test('a caller that leaves does not take the token from the others; the last one ends the request', async () => {
  const { authorizer } = setUp();
  const answer = Promise.withResolvers<{ status: number; text: string }>();
  let ended: AbortSignal | undefined;
  const send: SendTokenRequest = (_request, _tolerated, signal) => {
    ended = signal;
    return answer.promise;
  };
  const [first, second] = [new AbortController(), new AbortController()];
  const one = authorizer.answer(target(), challenge, undefined, send, first.signal);
  const two = authorizer.answer(target(), challenge, undefined, send, second.signal);
  first.abort(new Error('first left'));
  await assert.rejects(one, /first left/);
  assert.equal(ended?.aborted, false);
  second.abort(new Error('second left'));
  await assert.rejects(two, /second left/);
  assert.equal(ended?.aborted, true);
});

test('Basic is answered with the password, once, and only where it is offered', async () => {
  const { authorizer, send } = setUp();
  const basic = [{ scheme: 'basic', parameters: {} }];
  const header = `Basic ${Buffer.from('user:secret').toString('base64')}`;
  assert.equal(await authorizer.answer(target(), basic, undefined, send), undefined);
  assert.equal(await authorizer.answer(target({ credentials: user }), [], undefined, send), undefined);
  assert.equal(await authorizer.answer(target({ credentials: user }), basic, undefined, send), header);
  assert.equal(authorizer.known(target({ credentials: user })), header);
  assert.equal(await authorizer.answer(target({ credentials: user }), basic, header, send), undefined);
  assert.equal(authorizer.known(target({ credentials: user })), undefined, 'a refused password is forgotten');
});
