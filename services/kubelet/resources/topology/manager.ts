/**
 * The topology manager: asks those who give out CPUs, memory and devices where they could take them from, decides by
 * its policy, and has them allocate accordingly. What cannot be given keeps the pod out.
 *
 * ```
 * scope container: for each container: hints -> decision -> allocation
 * scope pod:       hints for the whole pod -> one decision -> allocation for each container
 * ```
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { AdmitResult, AnyContainer } from '../../ports.ts';
import { hasPodLevel } from '../qos.ts';
import type { Hints } from './hints.ts';
import type { NumaMask } from './mask.ts';
import type { NumaNode } from './numa.ts';
import { decide, type TopologyPolicy } from './policy.ts';

/** Gives containers something that sits on NUMA nodes. */
export interface Giver {
  /** Where the container's share could come from. */
  hints(pod: Pod, container: AnyContainer): Hints;
  /** The same for all containers of a pod together. */
  podHints(pod: Pod): Hints;
  /** Why a container can never be served, whatever is free. */
  refuses?(pod: Pod, container: AnyContainer): { reason: string; message: string } | undefined;
  /**
   * Gives a container its share, near `affinity` if that is set; what it has already it keeps.
   *
   * @throws SkiffError if there is not enough.
   */
  allocate(pod: Pod, container: AnyContainer, affinity: NumaMask | undefined): void | Promise<void>;
  /** Takes back what pods had that are not in the set. */
  retain(podUids: ReadonlySet<string>): void;
}

/** What the manager needs. */
export interface TopologyDeps {
  policy: TopologyPolicy;
  scope: 'container' | 'pod';
  nodes: readonly NumaNode[];
  /** `topologyManagerPolicyOptions.prefer-closest-numa-nodes`. */
  preferClosest: boolean;
  /** In the original's order: devices, CPUs, memory. */
  givers: readonly Giver[];
}

/** The manager. */
export interface TopologyManager {
  /** Allocates for all containers of a pod. What a refused pod was given meanwhile stays until `retain`. */
  admit(pod: Pod): Promise<AdmitResult>;
  retain(podUids: ReadonlySet<string>): void;
}

const unaligned: AdmitResult = {
  admit: false,
  reason: 'TopologyAffinityError',
  message: 'Resources cannot be allocated with Topology locality',
};

/** Makes the manager. */
export function createTopologyManager(deps: TopologyDeps): TopologyManager {
  return {
    admit: (pod) => admit(deps, pod),
    retain(podUids) {
      for (const giver of deps.givers) giver.retain(podUids);
    },
  };
}

async function admit(deps: TopologyDeps, pod: Pod): Promise<AdmitResult> {
  const { policy, scope, nodes, preferClosest, givers } = deps;
  // Pods with resources of their own have no shares of containers that could be aligned.
  const aligned = policy !== 'none' && !hasPodLevel(pod);
  const verdictOf = (hints: readonly Hints[]) => decide(policy, hints, nodes, { preferClosest });
  const whole =
    aligned && scope === 'pod' ? verdictOf(givers.map((giver) => giver.podHints(pod))) : undefined;
  if (whole?.admit === false) return unaligned;
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    const verdict =
      whole ?? (aligned ? verdictOf(givers.map((giver) => giver.hints(pod, container))) : undefined);
    if (verdict?.admit === false) return unaligned;
    for (const giver of givers) {
      const refused = giver.refuses?.(pod, container);
      if (refused !== undefined) return { admit: false, ...refused };
      try {
        await giver.allocate(pod, container, verdict?.hint.affinity);
      } catch (error) {
        const message = `Allocate failed due to ${messageOf(error)}, which is unexpected`;
        return { admit: false, reason: 'UnexpectedAdmissionError', message };
      }
    }
  }
  return { admit: true };
}
