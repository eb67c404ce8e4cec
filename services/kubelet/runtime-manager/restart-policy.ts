/**
 * Whether an ended container runs again: its own rules first, then its own policy, then the pod's
 * (kubelet-facts 3, KEP-5307).
 */
import type { ContainerRestartRule, Pod } from '#contracts/kubernetes/types.ts';
import { isDeleted, specOf } from '../pods/identity.ts';
import type { AnyContainer } from '../ports.ts';
import type { ContainerRecord } from './model.ts';

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

/** What happens after an exit. */
export type ExitVerdict = 'restart' | 'restart-all' | 'stay';

/** How a container ended, as far as restarts care. */
export type Exit = Pick<ContainerRecord, 'exitCode' | 'reason'>;

/** The policy of a container; a container's own overrides the pod's. */
export function restartPolicyOf(pod: Pod, container: AnyContainer): RestartPolicy {
  return policy(container.restartPolicy) ?? policy(specOf(pod).restartPolicy) ?? 'Always';
}

function policy(text: string | undefined): RestartPolicy | undefined {
  return text === 'Always' || text === 'OnFailure' || text === 'Never' ? text : undefined;
}

/** Whether an exit was a failure: a kill for memory counts even when the exit code is 0. */
export function failed(exit: Exit): boolean {
  return exit.exitCode !== 0 || exit.reason === 'OOMKilled';
}

/** What the rules and policies say of an exit, of a pod that is not being deleted. */
export function verdictOf(pod: Pod, container: AnyContainer, exit: Exit): ExitVerdict {
  const rule = container.restartPolicy === undefined ? undefined : matchingRule(container, exit.exitCode);
  if (rule?.action === 'RestartAllContainers') return 'restart-all';
  if (rule?.action === 'Restart') return 'restart';
  const chosen = restartPolicyOf(pod, container);
  if (chosen === 'Always') return 'restart';
  return chosen === 'OnFailure' && failed(exit) ? 'restart' : 'stay';
}

function matchingRule(container: AnyContainer, exitCode: number): ContainerRestartRule | undefined {
  return container.restartPolicyRules?.find(({ exitCodes }) => {
    const listed = exitCodes?.values?.includes(exitCode) ?? false;
    return exitCodes?.operator === 'In' ? listed : exitCodes?.operator === 'NotIn' && !listed;
  });
}

/** Whether a container must be started, given the newest that is known of it. */
export function mustStart(pod: Pod, container: AnyContainer, record: ContainerRecord | undefined): boolean {
  if (isDeleted(pod)) return false;
  if (record === undefined) return true;
  if (record.state === 'running') return false;
  if (record.state !== 'exited') return true;
  return verdictOf(pod, container, record) !== 'stay';
}

/** Whether a container that a probe or a change killed is started again: rules do not count then. */
export function restartsAfterKill(pod: Pod, container: AnyContainer): boolean {
  return restartPolicyOf(pod, container) !== 'Never';
}

/** Whether nothing in the pod may ever be started again after an exit. */
export function isRestartable(pod: Pod): boolean {
  return specOf(pod).restartPolicy !== 'Never';
}
