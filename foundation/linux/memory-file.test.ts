import assert from 'node:assert/strict';
import { closeSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { allocatedBytes, copyMemoryFile, createMemoryFile, sealMemoryFile } from './memory-file.ts';

const mebibyte = 1024 * 1024;

test('a copy has what is there and no more: holes stay holes', async () => {
  const from = createMemoryFile('from', 64 * mebibyte);
  const to = createMemoryFile('to', 64 * mebibyte);
  try {
    const far = Buffer.alloc(20 * mebibyte, 'x');
    writeSync(from, 'begin', 0);
    writeSync(from, far, 0, far.length, 30 * mebibyte);
    await copyMemoryFile(from, to);
    const back = Buffer.alloc(64 * mebibyte);
    assert.equal(readSync(to, back, 0, back.length, 0), back.length);
    assert.equal(back.toString('latin1', 0, 5), 'begin');
    assert.ok(back.subarray(30 * mebibyte, 50 * mebibyte).equals(far));
    assert.equal(back[29 * mebibyte], 0);
    assert.equal(allocatedBytes(to), allocatedBytes(from));
    assert.ok(allocatedBytes(to) < 24 * mebibyte);
    await assert.rejects(copyMemoryFile(from, to, AbortSignal.abort(new Error('enough'))), /enough/);
  } finally {
    closeSync(from);
    closeSync(to);
  }
});

test('nothing can be copied of an empty one, and nothing changed of a sealed one', async () => {
  const fd = createMemoryFile('sealed', mebibyte);
  const to = createMemoryFile('to', mebibyte);
  try {
    await copyMemoryFile(fd, to);
    assert.equal(allocatedBytes(to), 0);
    writeSync(fd, 'kept');
    sealMemoryFile(fd);
    assert.throws(() => writeSync(fd, 'changed'), { code: 'EPERM' });
    assert.throws(() => sealMemoryFile(fd), { errno: 'EPERM' });
  } finally {
    closeSync(fd);
    closeSync(to);
  }
});
