/** What plugins are told of sandboxes. */
import { Event, Plugin as PluginService } from '#contracts/nri/nri_pb.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { SandboxView } from '../ports.ts';
import { describeCriResources, describePod } from './describe.ts';
import type { PluginSet, TellingEvent } from './plugin-set.ts';
import type { NriDeps, NriSandboxHooks } from './ports.ts';

/** @param announced sandboxes that plugins were told of before clients see them. */
export function sandboxHooks(
  deps: Pick<NriDeps, 'log'>,
  plugins: PluginSet,
  announced: Map<string, SandboxView>,
): NriSandboxHooks {
  const tell = async (event: TellingEvent, sandbox: SandboxView) => {
    if (!plugins.isEmpty) await plugins.tell(event, describePod(sandbox));
  };
  /** Stopping and removing go on whatever plugins say. */
  const inform = async (event: TellingEvent, sandbox: SandboxView) => {
    await tell(event, sandbox).catch((error: unknown) => {
      deps.log.warn(
        { sandbox: sandbox.id, why: messageOf(error) },
        'an NRI plugin failed to handle an event',
      );
    });
  };
  const undo = async (sandbox: SandboxView) => {
    announced.delete(sandbox.id);
    await inform(Event.STOP_POD_SANDBOX, sandbox);
    await inform(Event.REMOVE_POD_SANDBOX, sandbox);
  };
  return {
    async run(sandbox) {
      announced.set(sandbox.id, sandbox);
      try {
        await tell(Event.RUN_POD_SANDBOX, sandbox);
      } catch (error) {
        await undo(sandbox);
        throw error;
      }
    },
    undo,
    async stop(sandbox) {
      announced.delete(sandbox.id);
      await inform(Event.STOP_POD_SANDBOX, sandbox);
    },
    remove: (sandbox) => inform(Event.REMOVE_POD_SANDBOX, sandbox),
    async update(sandbox) {
      if (plugins.isEmpty) return;
      const { overhead, resources } = sandbox.config.linux ?? {};
      const request = {
        pod: describePod(sandbox),
        ...(overhead === undefined ? {} : { overheadLinuxResources: describeCriResources(overhead) }),
        ...(resources === undefined ? {} : { linuxResources: describeCriResources(resources) }),
      };
      await plugins.each(Event.UPDATE_POD_SANDBOX, async (plugin) => {
        await plugin.call(PluginService.method.updatePodSandbox, request);
      });
      await inform(Event.POST_UPDATE_POD_SANDBOX, sandbox);
    },
  };
}
