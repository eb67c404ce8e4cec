import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Signal } from '#contracts/cri/runtime_pb.ts';
import { criSignal, stopSignalNumber } from './signals.ts';

test('the request comes before the image, and SIGTERM after both', () => {
  assert.equal(stopSignalNumber(Signal.SIGQUIT, 'SIGINT'), 3);
  assert.equal(stopSignalNumber(Signal.RUNTIME_DEFAULT, 'SIGINT'), 2);
  assert.equal(stopSignalNumber(Signal.RUNTIME_DEFAULT, '37'), 37);
  assert.equal(stopSignalNumber(Signal.RUNTIME_DEFAULT, ''), 15);
  assert.equal(stopSignalNumber(Signal.RUNTIME_DEFAULT, 'SIGNOPE'), 15);
});

test('the values of the CRI are no signal numbers; real-time signals keep their offset', () => {
  assert.equal(stopSignalNumber(Signal.SIGTERM, ''), 15);
  assert.equal(stopSignalNumber(Signal.SIGRTMINPLUS3, ''), 37);
  assert.equal(stopSignalNumber(Signal.SIGRTMAXMINUS2, ''), 62);
});

test('every signal number that a container can have goes back to a value of the CRI', () => {
  for (const [name, value] of Object.entries(Signal)) {
    if (value === Signal.RUNTIME_DEFAULT) continue;
    const number = stopSignalNumber(value, '');
    assert.equal(stopSignalNumber(criSignal(number), ''), number, name);
  }
  assert.equal(criSignal(15), Signal.SIGTERM);
  assert.equal(criSignal(99), Signal.RUNTIME_DEFAULT);
});
