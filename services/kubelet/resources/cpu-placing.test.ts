/** The options of the static CPU policy: one line for each choice, on made-up machines. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { takeDistributed } from './cpu-distribution.ts';
import { formatCpus, parseCpus } from './cpu-set.ts';
import { cpuHints, type Placing, takeNear } from './cpu-shares.ts';
import { type Cpu, readCpus, takePacked } from './cpu-topology.ts';

/** 16 CPUs: cores of two threads, four CPUs a NUMA node, eight a socket; caches of as many as wanted. */
const machine = (cache: number): Cpu[] =>
  Array.from({ length: 16 }, (_, id) => ({
    id,
    core: `c${id >> 1}`,
    numa: id >> 2,
    socket: id >> 3,
    uncore: `u${Math.floor(id / cache)}`,
  }));
const nodes = machine(4);

for (const [rule, free, count, groupSize, wanted] of [
  ['what one node can give comes from one', '0-15', 3, 1, '0-2'],
  ['of several the one that leaves all alike', '0-1,4-15', 2, 1, '4-5'],
  ['two give the same', '0-15', 6, 1, '0-2,4-6'],
  ['what does not divide comes from who has most', '0-3,5-7', 5, 1, '0-2,6-7'],
  ['cores stay whole', '0-15', 6, 2, '0-3,4-5'],
  ['three where two have not enough', '0-2,4-6,8-11', 8, 1, '0-2,4-5,8-10'],
  ['an odd number of cores’ threads is packed', '0-15', 5, 2, '0-4'],
  ['too few', '0-3', 5, 1, undefined],
] as const)
  test(`distribute-cpus-across-numa: ${rule}`, () => {
    const taken = takeDistributed(nodes, parseCpus(free), count, { groupSize, packing: {} });
    assert.deepEqual(taken, wanted === undefined ? undefined : parseCpus(wanted));
  });

for (const [rule, free, count, wanted] of [
  ['a thread of each core', '0-15', 3, '0,2,4'],
  ['whole nodes are taken as before', '0-15', 5, '0-3,4'],
  ['the second threads when the first are used up', '0-2,4', 4, '0-2,4'],
  ['a core that is in use comes first only by its number', '1-3', 2, '1-2'],
] as const)
  test(`distribute-cpus-across-cores: ${rule}`, () => {
    assert.equal(
      formatCpus(takePacked(nodes, parseCpus(free), count, { spreadCores: true }) ?? []),
      formatCpus(parseCpus(wanted)),
    );
  });

/** Two caches in each node. */
const halves = machine(2);
/** Two nodes in each cache. */
const wide = machine(8);
for (const [rule, cpus, free, count, wanted] of [
  ['of caches with room the one that is filled best', wide, '0-2,4-6,8-10', 3, '8-10'],
  ['the only one with room', wide, '0-2,4-6,8,10', 4, '0-1,4-5'],
  ['a whole cache, then a part of the next', halves, '1-7', 3, '1-3'],
  ['parts where no cache has room for the rest', wide, '0-2,8-10', 5, '0-2,8-9'],
] as [string, Cpu[], string, number, string][])
  test(`prefer-align-cpus-by-uncorecache: ${rule}`, () => {
    const taken = takePacked(cpus, parseCpus(free), count, { alignUncore: true });
    assert.equal(formatCpus(taken ?? []), formatCpus(parseCpus(wanted)));
  });

const hintsOf = (count: number, free: string, placing: Placing) =>
  (cpuHints(nodes, { count, free: parseCpus(free), reusable: [] }, placing).get('cpu') ?? [])
    .filter(({ preferred }) => preferred)
    .map(({ affinity }) => affinity);

for (const [rule, count, free, alignSockets, wanted] of [
  ['without it one node is best', 2, '0-15', false, [0b0001, 0b0010, 0b0100, 0b1000]],
  ['both nodes of a socket are as good', 2, '0-15', true, [0b0001, 0b0010, 0b0011, 0b0100, 0b1000, 0b1100]],
  ['what needs two nodes wants them on one socket', 4, '1-3,5-7,9-15', true, [0b0011, 0b1000, 0b1100]],
  ['what needs three nodes needs both sockets', 9, '0-15', true, [0b0111, 0b1011, 0b1101, 0b1110, 0b1111]],
] as [string, number, string, boolean, number[]][])
  test(`align-by-socket, hints: ${rule}`, () => {
    assert.deepEqual(
      hintsOf(count, free, { alignSockets }).sort((a, b) => (a ?? 0) - (b ?? 0)),
      wanted,
    );
  });

for (const [rule, alignSockets, wanted] of [
  ['the rest comes from anywhere', false, '1-3,13'],
  ['all comes from its socket', true, '2-5'],
] as const)
  test(`align-by-socket: where the affinity is too small, ${rule}`, () => {
    const taking = { free: parseCpus('1-5,13'), reusable: [], count: 4, affinity: 0b0001 };
    const taken = takeNear(nodes, taking, { alignSockets });
    assert.deepEqual(taken, parseCpus(wanted));
  });

test('the last-level cache is read from sysfs', () => {
  const root = mkdtempSync('/tmp/skiff-sys-');
  try {
    const write = (path: string, text: string) => {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), `${text}\n`);
    };
    write('online', '0-2');
    for (const [id, socket] of [
      [0, 0],
      [1, 0],
      [2, 1],
    ]) {
      write(`cpu${id}/topology/physical_package_id`, String(socket));
      write(`cpu${id}/topology/core_id`, String(id));
      write(`cpu${id}/cache/index0/level`, '1');
      write(`cpu${id}/cache/index0/id`, String(id));
      write(`cpu${id}/cache/index3/level`, '3');
    }
    write('cpu0/cache/index3/id', '7');
    write('cpu1/cache/index3/shared_cpu_list', '1');
    rmSync(join(root, 'cpu2/cache'), { recursive: true });
    assert.deepEqual(
      readCpus(root).map(({ uncore }) => uncore),
      ['0/7', '0/1', undefined],
    );
  } finally {
    rmSync(root, { recursive: true });
  }
});
