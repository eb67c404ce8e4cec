/** The runtime decides on the cgroup driver where it can say which it has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CriClient } from '#contracts/cri/client.ts';
import { CgroupDriver } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { askDriver } from './ask-driver.ts';

/** Asks a runtime that gives these answers in turn, the last one again and again. */
async function ask(configured: 'cgroupfs' | 'systemd', ...answers: (object | Error)[]) {
  const clock = fakeClock();
  let asked = 0;
  const runtimeConfig = async () => {
    const answer = answers[Math.min(asked, answers.length - 1)];
    asked += 1;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const runtime = { runtimeConfig } as unknown as CriClient['runtime'];
  const asking = askDriver({ runtime, clock, logger: silentLogger }, configured);
  await clock.advance(60_000);
  return { driver: await asking, asked };
}

const away = new SkiffError('UNAVAILABLE', 'not there yet');

for (const [what, configured, answers, wanted] of [
  ['systemd', 'cgroupfs', [{ linux: { cgroupDriver: CgroupDriver.SYSTEMD } }], 'systemd'],
  ['cgroupfs', 'systemd', [{ linux: { cgroupDriver: CgroupDriver.CGROUPFS } }], 'cgroupfs'],
  ['nothing', 'systemd', [{}], 'systemd'],
  ['that it does not know the call', 'systemd', [new SkiffError('UNIMPLEMENTED', 'what?')], 'systemd'],
  [
    'only at the third time',
    'cgroupfs',
    [away, away, { linux: { cgroupDriver: CgroupDriver.SYSTEMD } }],
    'systemd',
  ],
] as const)
  test(`a runtime that answers ${what} has the driver ${wanted}`, async () => {
    assert.deepEqual(await ask(configured, ...answers), { driver: wanted, asked: answers.length });
  });

test('of a runtime that does not answer in five seconds the configuration says it', async () => {
  assert.deepEqual(await ask('systemd', away), { driver: 'systemd', asked: 50 });
});
