/** Every case on Skiff's kubelet and Skiff's CRI server. */
import { test } from 'node:test';
import { startSkiff } from '../../bench/peers/skiff.ts';
import { facilities } from './case.ts';
import { openStage } from './fixture.ts';
import { testCases } from './test-cases.ts';

test('pods on Skiff', { timeout: 290_000 }, async (t) => {
  await using runtime = await startSkiff();
  await using stage = await openStage({ endpoint: runtime.endpoint, facilities });
  await testCases(t, stage);
});
