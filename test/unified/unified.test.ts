/** The main paths with version 2 cgroups only, which this machine may not have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cgroupLayout } from '#foundation/linux/cgroups.ts';
import { bootWithOwnRoot } from './vm.ts';

const skip =
  cgroupLayout().mode === 'unified' ? 'this machine has version 2, so all tests ran with it' : false;

test('containers live, are limited and are measured with version 2 cgroups', {
  skip,
  timeout: 600_000,
}, async (t) => {
  const tests = [
    'foundation/linux/cgroups.test.ts',
    'services/cri-server/containers/lifecycle.test.ts',
    'services/cri-server/stats/stats.test.ts',
  ];
  const { status, lines } = await bootWithOwnRoot({
    command: ['node', 'scripts/test.ts', ...tests],
    signal: t.signal,
  });
  assert.equal(status, 0, lines.join('\n'));
  assert.match(lines.join('\n'), /^[1-9]\d* passed, 0 failed/m);
});
