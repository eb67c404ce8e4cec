/** The node's conditions in the original's order and words: memory, disk, processes, Ready. */
import type { NodeStatus } from '#contracts/kubernetes/types.ts';
import type { Pressure } from '../ports.ts';

/** One condition of a node. */
export type NodeCondition = NonNullable<NodeStatus['conditions']>[number];

/** What conditions are made from. */
export interface ConditionFacts {
  pressure: Pressure;
  /** Why the node is not ready; empty if it is. */
  errors: readonly string[];
}

const texts = {
  MemoryPressure: {
    false: ['KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    true: ['KubeletHasInsufficientMemory', 'kubelet has insufficient memory available'],
  },
  DiskPressure: {
    false: ['KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    true: ['KubeletHasDiskPressure', 'kubelet has disk pressure'],
  },
  PIDPressure: {
    false: ['KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    true: ['KubeletHasInsufficientPID', 'kubelet has insufficient PID available'],
  },
} as const;

/**
 * The conditions as of now. A transition time moves only when a status does.
 *
 * @param before the conditions of the last report.
 * @param now RFC 3339.
 */
export function nodeConditions(
  facts: ConditionFacts,
  before: readonly NodeCondition[],
  now: string,
): NodeCondition[] {
  const { pressure, errors } = facts;
  const pressed = (type: keyof typeof texts, holds: boolean): [string, boolean, string, string] => {
    const [reason, message] = texts[type][holds ? 'true' : 'false'];
    return [type, holds, reason, message];
  };
  const ready = errors.length === 0;
  const rows: [string, boolean, string, string][] = [
    pressed('MemoryPressure', pressure.memory),
    pressed('DiskPressure', pressure.disk),
    pressed('PIDPressure', pressure.pid),
    [
      'Ready',
      ready,
      ready ? 'KubeletReady' : 'KubeletNotReady',
      ready ? 'kubelet is posting ready status' : aggregate(errors),
    ],
  ];
  return rows.map(([type, holds, reason, message]) => {
    const status = holds ? 'True' : 'False';
    const last = before.find((condition) => condition.type === type);
    const lastTransitionTime = last?.status === status ? (last.lastTransitionTime ?? now) : now;
    return { type, status, lastHeartbeatTime: now, lastTransitionTime, reason, message };
  });
}

/** Several errors as Go's aggregate prints them. */
function aggregate(errors: readonly string[]): string {
  return errors.length === 1 ? (errors[0] ?? '') : `[${errors.join(', ')}]`;
}
