/** Capabilities of a container: capabilities(7). */

import type { LinuxContainerSecurityContext } from '#contracts/cri/runtime_pb.ts';
import { capabilityNames } from '#contracts/oci/capability-names.ts';
import type { CapabilitySets } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** What a container has unless told: the set that Docker began with and images rely on. */
const defaultCapabilities: readonly string[] = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
].map((name) => `CAP_${name}`);

/**
 * The capability sets of a container. `ALL` is applied first, then additions, then removals; it stands for
 * what this machine lets us hand on, and so does privileged.
 *
 * @param held the bounding set of this process.
 * @throws SkiffError INVALID_ARGUMENT for an unknown name; FAILED_PRECONDITION for one that was asked for by
 *   name and is withheld from this process.
 */
export function capabilitySets(
  context: LinuxContainerSecurityContext | undefined,
  held: ReadonlySet<string>,
): CapabilitySets {
  const chosen = chosenCapabilities(context, held);
  const ambient = (context?.capabilities?.addAmbientCapabilities ?? []).map(capabilityName);
  requireHeld(ambient, held);
  for (const name of ambient) chosen.add(name);
  const list = [...chosen].sort();
  const sets: CapabilitySets = { bounding: list, effective: list, permitted: list };
  // The kernel keeps a capability ambient only while it is inheritable as well.
  return ambient.length === 0 ? sets : { ...sets, inheritable: ambient, ambient };
}

function chosenCapabilities(
  context: LinuxContainerSecurityContext | undefined,
  held: ReadonlySet<string>,
): Set<string> {
  if (context?.privileged === true) return new Set(held);
  const add = (context?.capabilities?.addCapabilities ?? []).map(capabilityName);
  const drop = (context?.capabilities?.dropCapabilities ?? []).map(capabilityName);
  requireHeld(add, held);
  const base = drop.includes('ALL') ? [] : add.includes('ALL') ? held : defaultCapabilities;
  const chosen = new Set([...base].filter((name) => held.has(name)));
  for (const name of add) if (name !== 'ALL') chosen.add(name);
  for (const name of drop) chosen.delete(name);
  return chosen;
}

function requireHeld(names: readonly string[], held: ReadonlySet<string>): void {
  const missing = names.find((name) => name !== 'ALL' && !held.has(name));
  if (missing === undefined) return;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `the capability ${missing} was asked for, but this machine withholds it from the CRI server itself`,
  );
}

/** `net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN` are all `CAP_NET_ADMIN`; `all` is `ALL`. */
function capabilityName(given: string): string {
  const upper = given.toUpperCase();
  if (upper === 'ALL') return 'ALL';
  const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!capabilityNames.includes(name))
    throw new SkiffError('INVALID_ARGUMENT', `there is no capability "${given}"`);
  return name;
}
