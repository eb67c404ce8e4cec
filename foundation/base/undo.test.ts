import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstCause, messageOf } from './errors.ts';
import { undoStack } from './undo.ts';

test('steps run in reverse, go on past a failing one, and the first cause is told', async () => {
  const order: string[] = [];
  const work = async () => {
    await using undo = undoStack();
    undo.defer('one', () => void order.push('one'));
    undo.defer('two', () => {
      order.push('two');
      throw new Error('stuck');
    });
    undo.defer('three', async () => void order.push('three'));
    throw new Error('the real failure');
  };
  const error = await work().catch((thrown: unknown) => thrown);
  assert.deepEqual(order, ['three', 'two', 'one']);
  assert.equal((firstCause(error) as Error).message, 'the real failure');
  assert.equal(messageOf(error), 'the real failure');
});

test('a committed stack does nothing, a moved one does it later', async () => {
  const order: string[] = [];
  const acquire = async () => {
    await using undo = undoStack();
    undo.defer('x', () => void order.push('x'));
    return undo.move();
  };
  const moved = await acquire();
  assert.equal(order.length, 0);
  await moved[Symbol.asyncDispose]();
  assert.deepEqual(order, ['x']);
  await using kept = undoStack();
  kept.defer('y', () => void order.push('y'));
  kept.commit();
  await kept[Symbol.asyncDispose]();
  assert.deepEqual(order, ['x']);
});

test('a step that hangs is given up on and told by name', async () => {
  const undo = undoStack(20);
  undo.defer('hangs', () => new Promise(() => {}));
  await assert.rejects(async () => undo[Symbol.asyncDispose](), /Cannot undo "hangs": not done within 20 ms/);
});
