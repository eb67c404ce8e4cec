import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { codeFromGrpc, codeRow, isSkiffError, messageOf, SkiffError, wrapError } from './errors.ts';

test('every code has its own gRPC number and finds its way back', () => {
  for (const code of ['CANCELLED', 'NOT_FOUND', 'UNKNOWN', 'UNAUTHENTICATED', 'DATA_LOSS'] as const) {
    assert.equal(codeFromGrpc(codeRow(code).grpc), code);
  }
  assert.equal(codeFromGrpc(99), 'UNKNOWN');
});

test('an errno is translated and its name kept', () => {
  try {
    readFileSync('/no/such/file');
    assert.fail();
  } catch (error) {
    const wrapped = wrapError(error, 'Cannot read "x"');
    assert.equal(wrapped.code, 'NOT_FOUND');
    assert.equal(wrapped.errno, 'ENOENT');
    assert.match(wrapped.message, /^Cannot read "x": ENOENT/);
  }
});

test('a SkiffError keeps its code through wrapping; aborts and strangers get theirs', () => {
  const inner = new SkiffError('ABORTED', 'changed meanwhile');
  assert.ok(isSkiffError(wrapError(inner, 'Cannot put'), 'ABORTED'));
  assert.equal(wrapError(AbortSignal.abort().reason, 'x').code, 'CANCELLED');
  assert.equal(wrapError(new DOMException('late', 'TimeoutError'), 'x').code, 'DEADLINE_EXCEEDED');
  assert.equal(wrapError(new TypeError('bug'), 'x').code, 'INTERNAL');
  assert.equal(messageOf('just a string'), 'just a string');
});
