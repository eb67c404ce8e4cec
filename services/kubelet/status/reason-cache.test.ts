/** Why a container waits is remembered until it starts, or its pod is forgotten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartError } from '../runtime-manager/start-error.ts';
import { createReasonCache } from './reason-cache.ts';

test('a cause stays through syncs that tell nothing of the container, and goes when it starts', () => {
  const cache = createReasonCache();
  const failed = (...names: string[]) =>
    new Map(names.map((name) => [name, new StartError('ErrImagePull', `no ${name}`)]));
  cache.update('u', { failures: failed('a', 'b'), started: [] } as never);
  cache.update('u', { failures: new Map(), started: ['other'] } as never);
  assert.deepEqual(cache.get('u', 'a'), { reason: 'ErrImagePull', message: 'no a' });
  cache.update('u', { failures: failed('b'), started: ['a'] } as never);
  assert.equal(cache.get('u', 'a'), undefined);
  assert.equal(cache.get('u', 'b')?.message, 'no b');
  assert.equal(cache.get('v', 'b'), undefined);
  cache.forget('u');
  assert.equal(cache.get('u', 'b'), undefined);
});
