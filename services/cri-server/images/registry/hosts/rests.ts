/**
 * Mirrors that do not answer rest for a while: each layer of an image would wait for them again, half a minute
 * long if their packets are dropped.
 */
import type { Clock } from '#foundation/base/time.ts';
import type { RegistryHost } from './host.ts';

/** Milliseconds that a mirror rests. */
const restMs = 30_000;

/** Knows which mirrors rest. */
export interface MirrorRests {
  /** Lets a mirror rest; the registry itself never does. */
  rest(host: RegistryHost): void;
  /** The hosts without the mirrors that rest; all of them if none would be left. */
  awake(hosts: readonly RegistryHost[]): readonly RegistryHost[];
}

/** Makes an object that lets nobody rest yet. */
export function createMirrorRests({ clock }: { clock: Clock }): MirrorRests {
  const until = new Map<string, number>();
  const rests = (host: RegistryHost) => (until.get(host.address) ?? 0) > clock.monotonic();
  return {
    rest(host) {
      if (!host.mirror) return;
      for (const [address, end] of until) if (end <= clock.monotonic()) until.delete(address);
      until.set(host.address, clock.monotonic() + restMs);
    },
    awake(hosts) {
      const awake = hosts.filter((host) => !rests(host));
      return awake.length === 0 ? hosts : awake;
    },
  };
}
