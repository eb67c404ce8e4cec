import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import { logindPossible, withLogind } from '../../test/peers/logind.ts';
import { inhibitShutdown } from './logind.ts';

const skip = logindPossible ? false : 'needs dbus and systemd';

async function until(what: string, check: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; await wait(20)) if (check()) return;
  throw new Error(`not within 30 s: ${what}`);
}

test('shutdown is delayed, heard of, and let go', { skip }, async () => {
  await withLogind(async ({ isHeld, tell }) => {
    const heard: boolean[] = [];
    const inhibitor = await inhibitShutdown({
      who: 'test',
      why: 'test',
      onShutdown: (starting) => heard.push(starting),
    });
    assert.equal(isHeld(), true);
    await until('the signal is heard', () => {
      // The monitor may not listen yet.
      if (heard.length === 0) tell(true);
      return heard.length > 0;
    });
    assert.equal(heard[0], true);
    inhibitor.release();
    await until('the lock is gone', () => !isHeld());
    inhibitor.close();
  });
});

test('a machine without logind is told so', { skip }, async () => {
  if (existsSync('/run/systemd/system')) return;
  const inhibiting = inhibitShutdown({ who: 'test', why: 'test', onShutdown: () => {} });
  await assert.rejects(
    inhibiting,
    (error) => isSkiffError(error, 'FAILED_PRECONDITION') && /Cannot delay the shutdown/.test(error.message),
  );
});
