/** CreateContainer: every plugin in turn adjusts the spec, sees what those before it did, and validators judge. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type Container,
  type ContainerAdjustment,
  ContainerAdjustmentSchema,
  Event,
  Plugin as PluginService,
  type PodSandbox,
} from '#contracts/nri/nri_pb.ts';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { type ClaimTable, claimTable } from './adjust/claims.ts';
import { adjustSpec } from './adjust/index.ts';
import { describeContainer } from './describe.ts';
import type { Plugin } from './plugin.ts';
import type { PluginSet } from './plugin-set.ts';
import type { NriContainer, NriDeps } from './ports.ts';
import { type UpdateCollector, updateCollector } from './updates.ts';

/** @returns the adjusted spec, and what is to be done to other containers. @throws SkiffError if one says no. */
export async function askToCreate(
  deps: NriDeps,
  plugins: PluginSet,
  pod: PodSandbox,
  container: NriContainer,
  original: RuntimeSpec,
): Promise<{ spec: RuntimeSpec; updates: UpdateCollector }> {
  const claims = claimTable(container.id);
  const updates = updateCollector(deps);
  const asked: Plugin[] = [];
  const cdi: string[] = [];
  let spec = original;
  let all = create(ContainerAdjustmentSchema);
  await plugins.each(Event.CREATE_CONTAINER, async (plugin) => {
    const told = describeContainer({ ...container, spec, cdiDevices: [...container.cdiDevices, ...cdi] });
    const answer = await plugin.call(PluginService.method.createContainer, { pod, container: told });
    asked.push(plugin);
    if (answer === undefined) return;
    if (answer.adjust !== undefined) {
      spec = adjustSpec(spec, answer.adjust, claims.by(plugin.label), deps);
      cdi.push(...answer.adjust.CDIDevices.map(({ name }) => name));
      all = mergeAdjustments(all, answer.adjust);
    }
    updates.add(plugin.label, answer.update, answer.evict);
  });
  await validate(plugins, pod, describeContainer({ ...container, spec: original }), all, claims, asked);
  return { spec: cdi.length === 0 ? spec : deps.containers.injectCdi(spec, cdi), updates };
}

/** Protobuf's own rule for two messages one behind the other: lists are joined, the later scalar wins. */
function mergeAdjustments(before: ContainerAdjustment, next: ContainerAdjustment): ContainerAdjustment {
  const first = next.args.length > 0 ? { ...before, args: [] } : before;
  const bytes = [first, next].map((one) => toBinary(ContainerAdjustmentSchema, one));
  return fromBinary(ContainerAdjustmentSchema, Buffer.concat(bytes));
}

async function validate(
  plugins: PluginSet,
  pod: PodSandbox,
  container: Container,
  adjust: ContainerAdjustment,
  claims: ClaimTable,
  asked: readonly Plugin[],
): Promise<void> {
  const request = {
    pod,
    container,
    adjust,
    owners: { owners: { [container.id]: claims.owners() } },
    plugins: asked.map(({ name, index }) => ({ name, index })),
  };
  await plugins.each(Event.VALIDATE_CONTAINER_ADJUSTMENT, async (plugin) => {
    // A plugin without a choice of events gets all, and need not know of validation.
    if (!plugin.validates) return;
    const answer = await plugin.call(PluginService.method.validateContainerAdjustment, request);
    if (answer === undefined) throw new SkiffError('UNAVAILABLE', 'it judges adjustments, and broke off');
    if (answer.reject)
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `it rejects the adjustments: ${answer.reason || 'no reason given'}`,
      );
  });
}
