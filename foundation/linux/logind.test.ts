import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import { inhibitShutdown } from './logind.ts';

const skip =
  existsSync('/usr/bin/dbus-daemon') && existsSync('/usr/bin/busctl') ? false : 'needs dbus and systemd';

const policy =
  '<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy>';

async function until(what: string, check: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; Date.now() < end; await wait(20)) if (check()) return;
  throw new Error(`not within 10 s: ${what}`);
}

/** A bus of our own, and a systemd-inhibit that only runs its command: there may be no logind here. */
async function withBus(directory: string, work: () => Promise<void>): Promise<void> {
  const before = { bus: process.env.DBUS_SYSTEM_BUS_ADDRESS, path: process.env.PATH };
  writeFileSync(
    `${directory}/bus.conf`,
    `<busconfig><type>system</type><listen>unix:path=${directory}/bus</listen>${policy}</busconfig>`,
  );
  writeFileSync(
    `${directory}/systemd-inhibit`,
    '#!/bin/sh\nwhile [ "$1" != sh ]; do shift; done\ntouch "$0.held"\n"$@"\nrm "$0.held"\n',
  );
  chmodSync(`${directory}/systemd-inhibit`, 0o755);
  let daemon: ChildProcess | undefined;
  try {
    daemon = spawn('dbus-daemon', [`--config-file=${directory}/bus.conf`, '--nofork'], { stdio: 'ignore' });
    await until('the bus listens', () => existsSync(`${directory}/bus`));
    process.env.DBUS_SYSTEM_BUS_ADDRESS = `unix:path=${directory}/bus`;
    process.env.PATH = `${directory}:${before.path}`;
    await work();
  } finally {
    daemon?.kill('SIGKILL');
    process.env.PATH = before.path;
    if (before.bus === undefined) delete process.env.DBUS_SYSTEM_BUS_ADDRESS;
    else process.env.DBUS_SYSTEM_BUS_ADDRESS = before.bus;
  }
}

test('shutdown is delayed, heard of, and let go', { skip }, async () => {
  const directory = mkdtempSync('/tmp/skiff-logind-');
  try {
    await withBus(directory, async () => {
      const heard: boolean[] = [];
      const held = () => existsSync(`${directory}/systemd-inhibit.held`);
      const inhibitor = await inhibitShutdown({
        who: 'test',
        why: 'test',
        onShutdown: (starting) => heard.push(starting),
      });
      assert.equal(held(), true);
      const tell = (starting: boolean) =>
        execFileSync('dbus-send', [
          '--system',
          '--type=signal',
          '/org/freedesktop/login1',
          'org.freedesktop.login1.Manager.PrepareForShutdown',
          `boolean:${starting}`,
        ]);
      await until('the signal is heard', () => {
        // The monitor may not listen yet.
        if (heard.length === 0) tell(true);
        return heard.length > 0;
      });
      assert.equal(heard[0], true);
      inhibitor.release();
      await until('the lock is gone', () => !held());
      inhibitor.close();
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a machine without logind is told so', { skip }, async () => {
  if (existsSync('/run/systemd/system')) return;
  const inhibiting = inhibitShutdown({ who: 'test', why: 'test', onShutdown: () => {} });
  await assert.rejects(
    inhibiting,
    (error) => isSkiffError(error, 'FAILED_PRECONDITION') && /Cannot delay the shutdown/.test(error.message),
  );
});
