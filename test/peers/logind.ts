/** A stand-in for systemd-logind: a bus of its own, and a systemd-inhibit that only runs its command. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

/** Whether this machine has what it needs. */
export const logindPossible = existsSync('/usr/bin/dbus-daemon') && existsSync('/usr/bin/busctl');

/** What a test does with it. */
export interface LogindStandIn {
  /** Whether somebody holds a lock that delays the shutdown. */
  isHeld(): boolean;
  /** Says that the machine goes down, or that it stays after all. Who begins to listen later does not hear it. */
  tell(starting: boolean): void;
}

const policy =
  '<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy>';

/** Runs `work` while this process and what it starts take the stand-in for the machine's. */
export async function withLogind(work: (logind: LogindStandIn) => Promise<void>): Promise<void> {
  const directory = mkdtempSync('/tmp/skiff-logind-');
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
    for (const end = Date.now() + 30_000; !existsSync(`${directory}/bus`); await wait(20))
      if (Date.now() > end) throw new Error('the bus does not listen within 30 s');
    process.env.DBUS_SYSTEM_BUS_ADDRESS = `unix:path=${directory}/bus`;
    process.env.PATH = `${directory}:${before.path}`;
    await work({ isHeld: () => existsSync(`${directory}/systemd-inhibit.held`), tell });
  } finally {
    daemon?.kill('SIGKILL');
    process.env.PATH = before.path;
    if (before.bus === undefined) delete process.env.DBUS_SYSTEM_BUS_ADDRESS;
    else process.env.DBUS_SYSTEM_BUS_ADDRESS = before.bus;
    rmSync(directory, { recursive: true });
  }
}

function tell(starting: boolean): void {
  const signal = 'org.freedesktop.login1.Manager.PrepareForShutdown';
  const to = ['--system', '--type=signal', '/org/freedesktop/login1', signal];
  execFileSync('dbus-send', [...to, `boolean:${starting}`]);
}
