/** What of /proc and /sys a container does not see, or cannot write (securityContext.procMount: Default). */
import { existsSync, readdirSync } from 'node:fs';

const masked = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];

/** Paths a container may read only. */
export const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/**
 * Paths hidden from a container; thermal counters of each CPU too, since they tell of the neighbours' load.
 * Read once by the builder: CPUs do not come and go often enough to look again.
 */
export function findMaskedPaths(cpuRoot = '/sys/devices/system/cpu'): string[] {
  const cpus = existsSync(cpuRoot) ? readdirSync(cpuRoot).filter((name) => /^cpu\d+$/.test(name)) : [];
  const thermal = cpus
    .map((name) => `${cpuRoot}/${name}/thermal_throttle`)
    .filter((path) => existsSync(path));
  return [...masked, ...thermal];
}
