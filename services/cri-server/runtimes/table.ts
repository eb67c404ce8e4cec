/** The runtime handlers of this machine: what `probeRuntimes` found, by name, with a default. */

import type { RuntimeDriver, RuntimeProbe } from '#contracts/oci/runtime-driver.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** Runtimes by handler name. */
export interface Runtimes {
  /** The driver of a handler; "" is the default's. @throws SkiffError NOT_FOUND; FAILED_PRECONDITION if it does not run here. */
  driver(handler: string): RuntimeDriver;
  /** The default handler's name: the first that works. @throws SkiffError FAILED_PRECONDITION if none does. */
  defaultHandler(): string;
  /** Handlers that work, the default first. */
  usable(): { name: string; driver: RuntimeDriver }[];
}

/** Makes the table. @param preferred the default's name, if it works; else the first that works. */
export function runtimeTable(probes: readonly RuntimeProbe[], preferred?: string): Runtimes {
  const working = probes.filter((probe) => probe.usable);
  const first = working.find((probe) => probe.name === preferred) ?? working[0];
  const usable = () => [...working].sort((a, b) => Number(b === first) - Number(a === first));
  const defaultHandler = () => {
    if (first !== undefined) return first.name;
    const why = probes.map((probe) => `${probe.name}: ${probe.usable ? 'works' : probe.reason}`).join('; ');
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `no OCI runtime works on this machine (${why}); run "skiff doctor"`,
    );
  };
  return {
    defaultHandler,
    usable: () => usable().map(({ name, driver }) => ({ name, driver })),
    driver(handler) {
      const name = handler === '' ? defaultHandler() : handler;
      const probe = probes.find((one) => one.name === name);
      if (probe === undefined) throw new SkiffError('NOT_FOUND', `there is no runtime handler "${name}"`);
      if (probe.usable) return probe.driver;
      throw new SkiffError('FAILED_PRECONDITION', `the runtime "${name}" does not run here: ${probe.reason}`);
    },
  };
}
