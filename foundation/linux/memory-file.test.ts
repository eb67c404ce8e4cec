import assert from 'node:assert/strict';
import { closeSync, fstatSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { createMemoryFile, sealMemoryFile } from './memory-file.ts';

const mebibyte = 1024 * 1024;

test('memory has its size, takes none until it is written, and cannot be changed once it is sealed', () => {
  const fd = createMemoryFile('sealed', 64 * mebibyte);
  try {
    const { size, blocks } = fstatSync(fd);
    assert.deepEqual([size, blocks], [64 * mebibyte, 0]);
    writeSync(fd, 'kept');
    sealMemoryFile(fd);
    assert.throws(() => writeSync(fd, 'changed'), { code: 'EPERM' });
    assert.throws(() => sealMemoryFile(fd), { errno: 'EPERM' });
    const back = Buffer.alloc(5);
    readSync(fd, back, 0, 5, 0);
    assert.equal(back.toString('latin1'), 'kept\0');
  } finally {
    closeSync(fd);
  }
});
