import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { collectWhenIdle } from './idle-heap.ts';

const used = () => getHeapStatistics().used_heap_size;

/** Garbage that has grown old: V8 leaves it until it needs room. */
async function litter(): Promise<void> {
  let kept: object[] = Array.from({ length: 600_000 }, (_, index) => ({ index }));
  await wait(20);
  assert.equal(kept.length, 600_000);
  kept = [];
}

test('what was needed in a busy moment is given back when the process is idle', async () => {
  const before = used();
  await litter();
  using _ = collectWhenIdle({ everyMs: 50, busyShare: 1, grownBytes: Number.NEGATIVE_INFINITY });
  for (const end = performance.now() + 20_000; used() > before + 8 * 1024 * 1024; await wait(20))
    assert.ok(performance.now() < end, `${used() - before} bytes of garbage are left`);
});

test('a busy process is not stopped for it', async () => {
  using _ = collectWhenIdle({ everyMs: 5, busyShare: -1, grownBytes: 0 });
  await litter();
  const after = used();
  await wait(100);
  assert.ok(used() > after - 4 * 1024 * 1024);
});

test('garbage of the young generation, which grew in a busy moment, is no reason', async () => {
  const before = used();
  await litter();
  {
    using _ = collectWhenIdle({ everyMs: 50, busyShare: 1000, grownBytes: Number.NEGATIVE_INFINITY });
    for (const end = performance.now() + 20_000; used() > before + 8 * 1024 * 1024; await wait(20))
      assert.ok(performance.now() < end, 'the old garbage is still there');
  }
  using _ = collectWhenIdle({ everyMs: 20, busyShare: 1000, grownBytes: 3 * 1024 * 1024 });
  const quiet = used();
  for (let arrays = 0; arrays < 1000; arrays += 1) new Array(1000).fill(arrays);
  await wait(500);
  assert.ok(used() > quiet + 6 * 1024 * 1024, 'it has been collected');
});
