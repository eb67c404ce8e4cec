/** The runtime handlers of this machine: what `probeRuntimes` found, by name, with a default. */

import type { RuntimeDriver, RuntimeProbe } from '#contracts/oci/runtime-driver.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** Runtimes by handler name. */
export interface Runtimes {
  /** The driver of a handler; "" is the default's. @throws SkiffError NOT_FOUND; FAILED_PRECONDITION if it does not run here. */
  driver(handler: string): RuntimeDriver;
  /** The same; undefined for one that is not there. */
  find(handler: string): RuntimeDriver | undefined;
  /** The default handler's name: the first that works. @throws SkiffError FAILED_PRECONDITION if none does. */
  defaultHandler(): string;
  /** Handlers that work, the default first. */
  usable(): { name: string; driver: RuntimeDriver }[];
}

/** The handler's other name for containers of this kernel: the default runtime, or the first that is no VM. */
export const plainHandler = 'plain';

/** Makes the table. @param preferred the default's name, if it works; else the first that works. */
export function runtimeTable(probes: readonly RuntimeProbe[], preferred?: string): Runtimes {
  const working = probes.filter((probe) => probe.usable);
  const first = working.find((probe) => probe.name === preferred) ?? working[0];
  const plain = [first, ...working].find(
    (probe) => probe?.usable === true && probe.driver.pods === undefined,
  );
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
    find: (handler) => working.find((probe) => probe.name === handler)?.driver,
    usable: () => [
      ...usable().map(({ name, driver }) => ({ name, driver })),
      // Where all are plain the name says nothing new.
      ...(plain !== undefined && working.some(({ driver }) => driver.pods !== undefined)
        ? [{ name: plainHandler, driver: plain.driver }]
        : []),
    ],
    driver(handler) {
      const name = handler === '' ? defaultHandler() : handler;
      if (name === plainHandler && plain !== undefined) return plain.driver;
      const probe = probes.find((one) => one.name === name);
      if (probe === undefined) throw new SkiffError('NOT_FOUND', `there is no runtime handler "${name}"`);
      if (probe.usable) return probe.driver;
      throw new SkiffError('FAILED_PRECONDITION', `the runtime "${name}" does not run here: ${probe.reason}`);
    },
  };
}
