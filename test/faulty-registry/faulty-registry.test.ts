/** Plays every fault case against the client. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FaultCase, play } from './case.ts';
import { blobFaults } from './faults/blobs.ts';
import { cancellationFaults } from './faults/cancellations.ts';
import { chunkFaults } from './faults/chunks.ts';
import { loginFaults } from './faults/logins.ts';
import { manifestFaults } from './faults/manifests.ts';
import { mirrorFaults } from './faults/mirrors.ts';
import { pushFaults } from './faults/pushes.ts';
import { redirectFaults } from './faults/redirects.ts';
import { referrersFaults } from './faults/referrers.ts';
import { statusFaults } from './faults/statuses.ts';
import { tlsFaults } from './faults/tls.ts';

const tables: Record<string, FaultCase[]> = {
  manifests: manifestFaults,
  blobs: blobFaults,
  cancellations: cancellationFaults,
  statuses: statusFaults,
  redirects: redirectFaults,
  logins: loginFaults,
  mirrors: mirrorFaults,
  pushes: pushFaults,
  chunks: chunkFaults,
  referrers: referrersFaults,
  tls: tlsFaults,
};

for (const [table, cases] of Object.entries(tables))
  for (const fault of cases) test(`${table}: ${fault.name}`, { timeout: 20_000 }, () => play(fault));

test('there are at least 25 faults, each with a name of its own', () => {
  const names = Object.values(tables).flatMap((cases) => cases.map(({ name }) => name));
  assert.ok(names.length >= 25);
  assert.equal(new Set(names).size, names.length);
});
