/** What events are told, and as how many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoreEvent } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { podOf } from '../testing/pods.ts';
import { createEventRecorder } from './recorder.ts';

function fixture() {
  let now = Date.UTC(2026, 0, 1);
  const told: { event: CoreEvent; isUpdate: boolean }[] = [];
  const recorder = createEventRecorder({
    nodeName: 'n1',
    now: () => now,
    logger: silentLogger,
    sinks: [{ record: (event, isUpdate) => told.push({ event, isUpdate }) }],
  });
  const later = (ms: number) => {
    now += ms;
  };
  return { recorder, told, later };
}

test('an event points at its container and names its source', () => {
  const { recorder, told } = fixture();
  const pod = podOf({ initContainers: [{ name: 'i' }] });
  recorder.pod(pod, 'Normal', 'Started', 'Container started', { container: 'i' });
  recorder.node('Warning', 'X', 'y');
  const [first, second] = told.map(({ event }) => event);
  assert.equal(first?.involvedObject.fieldPath, 'spec.initContainers{i}');
  assert.deepEqual(first?.source, { component: 'kubelet', host: 'n1' });
  assert.equal(first?.firstTimestamp, '2026-01-01T00:00:00Z');
  assert.deepEqual([second?.involvedObject.kind, second?.metadata.namespace], ['Node', 'default']);
});

test('the same event counts up under one name', () => {
  const { recorder, told, later } = fixture();
  for (let index = 0; index < 3; index += 1) {
    recorder.pod(podOf(), 'Warning', 'BackOff', 'again');
    later(1000);
  }
  assert.deepEqual(
    told.map(({ event, isUpdate }) => [event.count, isUpdate]),
    [
      [1, false],
      [2, true],
      [3, true],
    ],
  );
  assert.equal(new Set(told.map(({ event }) => event.metadata.name)).size, 1);
  assert.equal(told[2]?.event.firstTimestamp, '2026-01-01T00:00:00Z');
  assert.equal(told[2]?.event.lastTimestamp, '2026-01-01T00:00:02Z');
});

test('many similar events become one', () => {
  const { recorder, told } = fixture();
  for (let index = 0; index < 12; index += 1) recorder.pod(podOf(), 'Warning', 'Unhealthy', `probe ${index}`);
  assert.equal(told[8]?.event.message, 'probe 8');
  assert.equal(told[9]?.event.message, '(combined from similar events): probe 9');
  assert.equal(told[11]?.event.count, 3);
});

test('a flood from one object is cut, and refills slowly', () => {
  const { recorder, told, later } = fixture();
  for (let index = 0; index < 100; index += 1) recorder.pod(podOf(), 'Warning', `R${index}`, 'm');
  assert.equal(told.length, 25);
  later(300_000);
  for (let index = 0; index < 5; index += 1) recorder.pod(podOf(), 'Warning', `S${index}`, 'm');
  assert.equal(told.length, 26);
  recorder.pod(podOf({}, { uid: 'other' }), 'Warning', 'R', 'm');
  assert.equal(told.length, 27);
});
