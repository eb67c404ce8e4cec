import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { commonUser } from './projected.ts';
import { createTokens } from './tokens.ts';

const pod: Pod = {
  metadata: { name: 'p', namespace: 'ns', uid: 'u' },
  spec: { serviceAccountName: 'sa', containers: [] },
};

function setup(lifeSeconds: number) {
  const clock = fakeClock();
  const state = { asked: 0, failing: false };
  const tokens = createTokens({
    clock,
    random: () => 0,
    api: {
      createToken: async (namespace, account, { audiences, expirationSeconds }) => {
        if (state.failing) throw new Error('the API is away');
        state.asked += 1;
        assert.deepEqual([namespace, account, expirationSeconds], ['ns', 'sa', lifeSeconds]);
        const token = `${audiences?.[0] ?? 'default'}-${state.asked}`;
        return { token, expirationTimestamp: new Date(clock.now() + lifeSeconds * 1000).toISOString() };
      },
    },
  });
  const token = (audience?: string) => tokens.token(pod, { audience, expirationSeconds: lifeSeconds });
  return { clock, state, tokens, token };
}

test('a token is kept for 80% of its life, for each audience', async () => {
  const { clock, token } = setup(1000);
  assert.equal(await token(), 'default-1');
  assert.equal(await token('vault'), 'vault-2');
  await clock.advance(799_000);
  assert.equal(await token(), 'default-1');
  await clock.advance(2000);
  assert.equal(await token(), 'default-3');
});

test('a long token is renewed after a day', async () => {
  const { clock, token } = setup(30 * 86_400);
  await token();
  await clock.advance(86_401_000);
  assert.equal(await token(), 'default-2');
});

test('while the API is away the old token serves as long as it is valid', async () => {
  const { clock, state, token } = setup(1000);
  await token();
  state.failing = true;
  await clock.advance(900_000);
  assert.equal(await token(), 'default-1');
  await clock.advance(200_000);
  await assert.rejects(token(), /the API is away/);
});

test('a pod that is gone leaves no tokens', async () => {
  const { tokens, token } = setup(1000);
  await token();
  tokens.forget('u');
  assert.equal(await token(), 'default-2');
});

test('the user that all containers share', () => {
  const of = (...users: (number | undefined)[]) =>
    commonUser({
      ...pod,
      spec: {
        containers: users.map((runAsUser, index) => ({
          name: `c${index}`,
          image: 'i',
          securityContext: { runAsUser },
        })),
      },
    });
  assert.equal(of(7, 7), 7);
  assert.equal(of(7, 8), undefined);
  assert.equal(of(7, undefined), undefined);
});
