/** Resizes: whether what a pod's spec asks for now can be granted (KEP-1287). */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { uidOf } from '../pods/identity.ts';
import { activePods } from './active.ts';
import type { LoopDeps } from './deps.ts';

/** Grants a resize that fits; else its condition says why not. */
export function considerResize(deps: LoopDeps, pod: Pod): void {
  const uid = uidOf(pod);
  if (!deps.allocation.wantsResize(pod)) {
    deps.allocation.setPending(uid, undefined);
    return;
  }
  const others = activePods(deps).filter((other) => uidOf(other) !== uid);
  const verdict = deps.admission.fits(pod, others);
  if (verdict.admit) {
    deps.allocation.grant(pod);
    deps.allocation.setPending(uid, undefined);
    deps.allocation.setInProgress(uid, '');
    return;
  }
  const reason = verdict.infeasible === true ? 'Infeasible' : 'Deferred';
  deps.allocation.setPending(uid, { reason, message: verdict.message });
}

/** Tries the deferred resizes again: somebody may have left room. */
export function retryResizes(deps: LoopDeps): void {
  for (const pod of deps.pods.pods()) {
    if (!deps.allocation.wantsResize(pod)) continue;
    considerResize(deps, pod);
    if (!deps.allocation.wantsResize(pod)) deps.workers.update({ kind: 'sync', pod });
  }
}
