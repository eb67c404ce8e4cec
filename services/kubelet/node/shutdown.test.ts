import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { silentLogger } from '#foundation/base/log.ts';
import { withDefaults } from '../configuration/defaults.ts';
import { createShutdownDelay, wantsGracefulShutdown } from './shutdown.ts';

test('whether a configuration asks for it', () => {
  assert.equal(wantsGracefulShutdown(withDefaults({}, true)), false);
  assert.equal(wantsGracefulShutdown(withDefaults({ shutdownGracePeriod: '30s' }, true)), true);
  const shutdownGracePeriodByPodPriority = [{ priority: 0, shutdownGracePeriodSeconds: 5 }];
  assert.equal(wantsGracefulShutdown(withDefaults({ shutdownGracePeriodByPodPriority }, true)), true);
});

function setup(wanted = true) {
  const log: string[] = [];
  const ended = Promise.withResolvers<void>();
  const state: { tell: (starting: boolean) => void } = { tell: () => {} };
  const delay = createShutdownDelay({
    wanted,
    source: async (onShutdown) => {
      log.push('delay');
      state.tell = onShutdown;
      return { release: () => void log.push('release'), close: () => void log.push('close') };
    },
    endPods: () => {
      log.push('end');
      return ended.promise;
    },
    calledOff: () => void log.push('called off'),
    log: silentLogger,
  });
  return { delay, log, ended, state };
}

test('the machine may go when the pods have ended, and not before', async () => {
  const { delay, log, ended, state } = setup();
  await delay.start();
  state.tell(true);
  state.tell(true);
  await turn();
  assert.deepEqual(log, ['delay', 'end']);
  ended.resolve();
  await turn();
  assert.deepEqual(log, ['delay', 'end', 'release']);
  await delay.stop();
  assert.equal(log.at(-1), 'close');
});

test('pods that could not be ended do not hold the machine', async () => {
  const { delay, log, ended, state } = setup();
  await delay.start();
  state.tell(true);
  ended.reject(new Error('stuck'));
  await delay.stop();
  assert.ok(log.includes('release'));
});

test('nothing is delayed if nobody asked for it, and a machine that cannot wait is served all the same', async () => {
  const { delay, log } = setup(false);
  await delay.start();
  assert.deepEqual(log, []);
  const source = async () => Promise.reject(new Error('no logind'));
  await createShutdownDelay({
    wanted: true,
    source,
    endPods: async () => {},
    calledOff: () => {},
    log: silentLogger,
  }).start();
});

test('a shutdown that is called off: the next one is delayed as well', async () => {
  const { delay, log, ended, state } = setup();
  await delay.start();
  state.tell(false);
  assert.deepEqual(log, ['delay'], 'there was none');
  state.tell(true);
  state.tell(false);
  ended.resolve();
  await turn();
  assert.deepEqual(log, ['delay', 'end', 'called off', 'release', 'close', 'delay']);
  state.tell(true);
  await delay.stop();
  assert.deepEqual(log.slice(6), ['end', 'release', 'close']);
});
