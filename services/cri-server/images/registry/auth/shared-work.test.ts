import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedWork } from './shared-work.ts';

test('callers of one key share one run; later ones start anew', async () => {
  const shared = sharedWork<number>();
  let runs = 0;
  const work = async () => {
    await Promise.resolve();
    runs += 1;
    return runs;
  };
  assert.deepEqual(await Promise.all([shared.run('a', work), shared.run('a', work)]), [1, 1]);
  assert.equal(await shared.run('a', work), 2);
});

test('a caller that leaves does not end the work for the others; the last one does', async () => {
  const shared = sharedWork<string>();
  const done = Promise.withResolvers<string>();
  let seen: AbortSignal | undefined;
  const work = (signal: AbortSignal) => {
    seen = signal;
    return done.promise;
  };
  const [first, second] = [new AbortController(), new AbortController()];
  const one = shared.run('a', work, first.signal);
  const two = shared.run('a', work, second.signal);
  first.abort(new Error('first left'));
  await assert.rejects(one, /first left/);
  assert.equal(seen?.aborted, false);
  second.abort(new Error('second left'));
  await assert.rejects(two, /second left/);
  assert.equal(seen?.aborted, true);
  assert.equal(await shared.run('a', async () => 'anew'), 'anew', 'abandoned work is not joined');
});

test('a failure reaches everybody and is not remembered', async () => {
  const shared = sharedWork<string>();
  const fail = async () => {
    throw new Error('no');
  };
  const both = await Promise.allSettled([shared.run('a', fail), shared.run('a', fail)]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.equal(await shared.run('a', async () => 'yes'), 'yes');
});
