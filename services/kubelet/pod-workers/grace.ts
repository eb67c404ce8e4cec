/** How long a pod that ends may take. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { gracePeriodOf } from '../pods/identity.ts';
import type { KillHow } from '../ports.ts';

/** Seconds an orphan gets: nobody is left to say more. */
const orphanGraceSeconds = 1;

/**
 * Seconds: the shortest of what is set, the deletion's or the killer's, else the spec's; at least 1; never more
 * than it was.
 */
export function effectiveGrace(
  pod: Pod,
  kill: KillHow | undefined,
  options: { orphan: boolean; before?: number },
): number {
  if (options.orphan) return orphanGraceSeconds;
  const asked = [pod.metadata.deletionGracePeriodSeconds, kill?.gracePeriodSeconds].filter(
    (seconds) => seconds !== undefined && seconds !== null,
  );
  const seconds = Math.max(1, asked.length > 0 ? Math.min(...asked) : gracePeriodOf(pod));
  return options.before === undefined ? seconds : Math.min(seconds, options.before);
}
