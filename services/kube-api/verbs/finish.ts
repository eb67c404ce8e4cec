/** When an object that is being deleted is done with. */
import type { KubeObject } from '#contracts/kubernetes/types.ts';

/** Whether nothing holds an object back any more: it is being deleted, without finalizers and without grace. */
export function finishIfDone({
  metadata,
  ...rest
}: KubeObject & { spec?: { finalizers?: string[] } }): boolean {
  if (metadata.deletionTimestamp === undefined) return false;
  if ((metadata.finalizers ?? []).length > 0) return false;
  if (rest.kind === 'Namespace' && (rest.spec?.finalizers ?? []).length > 0) return false;
  return (metadata.deletionGracePeriodSeconds ?? 0) === 0;
}
