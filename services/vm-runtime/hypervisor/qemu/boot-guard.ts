/**
 * Boots a guest again that has lost its only timer.
 *
 * The kernel measures the rate of the local APIC's timer by reading the time-stamp counter for 100 ms. When the virtual
 * processor gets no real one during these (a busy host, a cgroup that has used up its quota), both counters are read
 * when it is all over: the rate looks like nothing, the kernel does without the timer, and sleeps for ever after the next
 * halt. It says so before. Nothing has begun by then, so the machine is reset; seen in 1 to 3 of 100 boots on a machine
 * with ten times the work that it can do, never on a quiet one. A kernel that was told the rate (../../guest-image/emulation.ts)
 * does not measure it: of 24 boots whose emulator was stopped again and again none lost the timer, where 4 of others did.
 */
import type { Qmp } from './qmp.ts';

/** What the kernel says (calibrate_APIC_clock in arch/x86/kernel/apic/apic.c); it needs `loglevel=5` to be heard. */
const sign = 'APIC frequency too slow';
/** A guest that goes on saying so is left to whoever waits for it. */
export const mostResets = 3;

/** Watches one boot. */
export interface BootGuard {
  /** Reads what comes from the console. */
  read(text: string): void;
  /** The guest is up: what it says from now on is its own business. */
  disarm(): void;
}

/** Makes the guard of a VM that is about to boot. A reset that fails is left to whoever waits for the guest. */
export function guardBoot(qmp: Pick<Qmp, 'execute'>): BootGuard {
  let tail = '';
  let left = mostResets;
  let resetting = false;
  const reset = async () => {
    // A guest that ends itself must not boot again, so that is what is set but for this moment.
    await qmp.execute('set-action', { reboot: 'reset' });
    await qmp.execute('system_reset');
    await qmp.execute('set-action', { reboot: 'shutdown' });
  };
  return {
    read: (text) => {
      if (left === 0 || resetting) return;
      tail = (tail + text).slice(-1024);
      if (!tail.includes(sign)) return;
      tail = '';
      left -= 1;
      resetting = true;
      reset()
        .catch(() => {})
        .finally(() => {
          resetting = false;
        });
    },
    disarm: () => {
      left = 0;
    },
  };
}
