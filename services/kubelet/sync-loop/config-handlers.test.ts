import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSources } from '../config/sources.ts';
import { handleUpdate } from './config-handlers.ts';
import type { LoopDeps } from './deps.ts';

test('volumes of pods that no source has told of yet are left alone until all sources have', async () => {
  const reconciled: number[] = [];
  const deps = {
    sources: createSources(['file', 'api']),
    pods: { pods: () => [] },
    workers: { all: () => [] },
    volumes: { reconcile: (pods: unknown[]) => reconciled.push(pods.length) },
  } as unknown as LoopDeps;
  await handleUpdate(deps, { source: 'file', op: 'ADD', pods: [] });
  assert.deepEqual(reconciled, []);
  await handleUpdate(deps, { source: 'api', op: 'ADD', pods: [] });
  assert.deepEqual(reconciled, [0]);
});
