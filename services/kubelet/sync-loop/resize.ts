/** Resizes: whether what a pod's spec asks for now can be granted (KEP-1287). */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isStatic, specOf, uidOf } from '../pods/identity.ts';
import type { AdmitResult } from '../ports.ts';
import { podTotals } from '../resources/linux-resources.ts';
import { qosOf } from '../resources/qos.ts';
import { resizeDetails } from '../runtime-manager/resize.ts';
import { activePods } from './active.ts';
import type { LoopDeps } from './deps.ts';

/** Grants a resize that fits; else its condition says why not. */
export function considerResize(deps: LoopDeps, pod: Pod): void {
  const uid = uidOf(pod);
  if (!deps.allocation.wantsResize(pod)) {
    deps.allocation.setPending(uid, undefined);
    return;
  }
  const verdict = mayResize(deps, pod);
  if (verdict.admit) {
    const freed = leavesRoom(deps.allocation.allocated(pod), pod);
    deps.allocation.grant(pod);
    deps.allocation.setPending(uid, undefined);
    deps.allocation.setInProgress(uid, '');
    deps.events.pod(pod, 'Normal', 'ResizeStarted', `Pod resize started: ${resizeDetails(pod)}`);
    if (freed) retryResizes(deps);
    return;
  }
  const reason = verdict.infeasible === true ? 'Infeasible' : 'Deferred';
  if (!deps.allocation.setPending(uid, { reason, message: verdict.message })) return;
  const message = `Pod resize ${reason}: ${resizeDetails(pod)}: ${verdict.message}`;
  deps.events.pod(pod, 'Warning', `Resize${reason}`, message);
}

function mayResize(deps: LoopDeps, pod: Pod): AdmitResult & { infeasible?: boolean } {
  if (isStatic(pod)) {
    const message = 'In-place resize of static-pods is not supported';
    return { admit: false, reason: 'static_pod', message, infeasible: true };
  }
  return deps.admission.fits(
    pod,
    activePods(deps).filter((other) => uidOf(other) !== uidOf(pod)),
  );
}

function leavesRoom(before: Pod, after: Pod): boolean {
  const [old, own] = [podTotals(before), podTotals(after)];
  return own.milliCpuRequest < old.milliCpuRequest || own.memoryRequest < old.memoryRequest;
}

/** Tries the deferred resizes again, because somebody may have left room: important pods first. */
export function retryResizes(deps: LoopDeps): void {
  const waiting = deps.pods.pods().filter((pod) => deps.allocation.wantsResize(pod) && !isStatic(pod));
  for (const pod of waiting.sort(byImportance)) {
    if (!deps.allocation.wantsResize(pod)) continue;
    considerResize(deps, pod);
    if (!deps.allocation.wantsResize(pod)) deps.workers.update({ kind: 'sync', pod });
  }
}

const classes = ['Guaranteed', 'Burstable', 'BestEffort'];

/** By priority, then by class. */
function byImportance(a: Pod, b: Pod): number {
  return (
    (specOf(b).priority ?? 0) - (specOf(a).priority ?? 0) ||
    classes.indexOf(qosOf(a)) - classes.indexOf(qosOf(b))
  );
}
