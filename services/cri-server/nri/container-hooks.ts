/** What plugins are told of containers, and what of theirs is carried out. */
import { Event, Plugin as PluginService } from '#contracts/nri/nri_pb.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { describeResources } from './adjust/resources.ts';
import { askToCreate } from './create-container.ts';
import { describeContainer, describePod } from './describe.ts';
import type { PluginSet, TellingEvent } from './plugin-set.ts';
import type { NriContainer, NriContainerHooks, NriDeps } from './ports.ts';
import { updateCollector } from './updates.ts';

/** @param announced containers that plugins were told of before clients see them. */
export function containerHooks(
  deps: NriDeps,
  plugins: PluginSet,
  announced: Map<string, NriContainer>,
): NriContainerHooks {
  const { method } = PluginService;
  const podOf = ({ sandboxId }: NriContainer) => {
    const sandbox = deps.sandboxes.find(sandboxId);
    return sandbox === undefined ? undefined : describePod(sandbox);
  };
  const tell = async (event: TellingEvent, container: NriContainer) => {
    if (!plugins.isEmpty) await plugins.tell(event, podOf(container), describeContainer(container));
  };
  const inform = async (container: NriContainer, work: () => Promise<void>) => {
    await work().catch((error: unknown) => {
      deps.log.warn(
        { container: container.id, why: messageOf(error) },
        'an NRI plugin failed to handle an event',
      );
    });
  };
  const stopped = async (container: NriContainer) => {
    if (plugins.isEmpty) return;
    const updates = updateCollector(deps);
    const request = about(podOf(container), container);
    await plugins.each(Event.STOP_CONTAINER, async (plugin) => {
      const answer = await plugin.call(method.stopContainer, request);
      if (answer !== undefined) updates.add(plugin.label, answer.update);
    });
    await updates.apply();
  };
  const undoCreate = async (container: NriContainer) => {
    announced.delete(container.id);
    await inform(container, () => stopped(container));
    await inform(container, () => tell(Event.REMOVE_CONTAINER, container));
  };
  return {
    async create(container, spec) {
      announced.set(container.id, { ...container, spec });
      const pod = podOf(container);
      if (plugins.isEmpty || pod === undefined) return spec;
      try {
        const result = await askToCreate(deps, plugins, pod, container, spec);
        announced.set(container.id, { ...container, spec: result.spec });
        await result.updates.apply();
        return result.spec;
      } catch (error) {
        await undoCreate({ ...container, spec });
        throw error;
      }
    },
    undoCreate,
    created: (container) => {
      announced.delete(container.id);
      return inform(container, () => tell(Event.POST_CREATE_CONTAINER, container));
    },
    start: (container) => tell(Event.START_CONTAINER, container),
    started: (container) => inform(container, () => tell(Event.POST_START_CONTAINER, container)),
    async update(container, resources) {
      if (plugins.isEmpty) return { resources, after: async () => {} };
      const updates = updateCollector(deps, new Map([[container.id, resources]]));
      await plugins.each(Event.UPDATE_CONTAINER, async (plugin) => {
        const request = {
          ...about(podOf(container), container),
          linuxResources: describeResources(resources),
        };
        const answer = await plugin.call(method.updateContainer, request);
        if (answer !== undefined) updates.add(plugin.label, answer.update, answer.evict);
      });
      return { resources: updates.take(container.id) ?? resources, after: () => updates.apply() };
    },
    updated: (container) => inform(container, () => tell(Event.POST_UPDATE_CONTAINER, container)),
    stopped: (container) => inform(container, () => stopped(container)),
    removed: (container) => inform(container, () => tell(Event.REMOVE_CONTAINER, container)),
  };
}

function about(pod: ReturnType<typeof describePod> | undefined, container: NriContainer) {
  return { ...(pod === undefined ? {} : { pod }), container: describeContainer(container) };
}
