/** Puts one plugin's adjustment into a container's spec. The next plugin is told of the result. */
import { type ContainerAdjustment, Field } from '#contracts/nri/nri_pb.ts';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import type { Claims } from './claims.ts';
import { adjustLinux, adjustMounts, propagationOf } from './linux.ts';
import { adjustHooks, adjustMap, adjustProcess } from './process.ts';

/** What adjusting depends on of the machine. */
export interface AdjustHost {
  swapLimits: boolean;
  clampOomScore(score: number): number;
}

/**
 * Adjusts all but CDI devices, which are added when every plugin has been asked.
 *
 * @throws SkiffError FAILED_PRECONDITION if another plugin set the same; UNIMPLEMENTED, INVALID_ARGUMENT for what
 *   cannot be set.
 */
export function adjustSpec(
  spec: RuntimeSpec,
  adjustment: ContainerAdjustment,
  claims: Claims,
  host: AdjustHost,
): RuntimeSpec {
  const { annotations, mounts, hooks, linux } = adjustment;
  const adjusted = linux === undefined ? spec.linux : adjustLinux(spec.linux, linux, claims, host.swapLimits);
  const propagation = propagationOf(spec.linux.rootfsPropagation, mounts);
  const allHooks = adjustHooks(spec.hooks, hooks);
  for (const { name } of adjustment.CDIDevices) claims.take(Field.CdiDevices, name);
  return {
    ...spec,
    process: adjustProcess(spec.process, adjustment, claims, (score) => host.clampOomScore(score)),
    annotations: adjustMap(spec.annotations ?? {}, annotations, claims, Field.Annotations),
    mounts: adjustMounts(spec.mounts, mounts, claims),
    ...(allHooks === undefined ? {} : { hooks: allHooks }),
    linux: { ...adjusted, ...(propagation === undefined ? {} : { rootfsPropagation: propagation }) },
  };
}
