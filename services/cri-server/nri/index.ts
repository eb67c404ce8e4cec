/**
 * NRI, the Node Resource Interface (https://github.com/containerd/nri): plugins that are asked when pods and
 * containers change, and may adjust them. Data goes: socket or executable -> `plugin.ts` (registers, configured) ->
 * `synchronize.ts` -> `plugin-set.ts`; an event: `sandbox-hooks.ts` or `container-hooks.ts` -> `describe.ts` ->
 * each plugin in order -> `adjust/` (into the container's spec) and `updates.ts` (other containers).
 */
import type { Socket } from 'node:net';
import { messageOf } from '#foundation/base/errors.ts';
import type { SandboxView } from '../ports.ts';
import { containerHooks } from './container-hooks.ts';
import { describeContainer, describePod } from './describe.ts';
import { installedPlugins, launchPlugin } from './launch.ts';
import { listenForPlugins } from './listen.ts';
import { openPlugin, type Plugin, type PluginDeps } from './plugin.ts';
import { pluginSet } from './plugin-set.ts';
import type { NriContainer, NriContainerHooks, NriDeps, NriSandboxHooks } from './ports.ts';
import { sandboxHooks } from './sandbox-hooks.ts';
import { synchronize } from './synchronize.ts';
import { applyUnsolicited, updateCollector } from './updates.ts';

export type * from './ports.ts';

/** NRI. */
export interface Nri extends AsyncDisposable {
  sandboxHooks: NriSandboxHooks;
  containerHooks: NriContainerHooks;
  /**
   * Starts the installed plugins, then listens for others. Call it when sandboxes and containers are recovered.
   * A socket that cannot be made is logged: the node serves without plugins from outside.
   *
   * @throws SkiffError if the directory of plugins or a configuration cannot be read.
   */
  start(): Promise<void>;
  /** The plugins that take part now, in their order: `10-name`. */
  plugins(): string[];
}

/** Makes it; without a call of `start` there are no plugins, and every hook returns at once. */
export function createNri(deps: NriDeps): Nri {
  const set = pluginSet();
  const pods = new Map<string, SandboxView>();
  const containers = new Map<string, NriContainer>();
  const pluginDeps: PluginDeps = {
    settings: deps.settings,
    version: deps.version,
    log: deps.log,
    updateContainers: async ({ update, evict }) => ({ failed: await applyUnsolicited(deps, update, evict) }),
  };
  const join = async (plugin: Plugin) => {
    const updates = updateCollector(deps);
    try {
      await set.add(plugin, async () => {
        const [knownPods, known] = [allPods(deps, pods), allContainers(deps, containers)];
        const { registrationTimeoutMs, requestTimeoutMs } = deps.settings;
        const wanted = await synchronize(
          plugin,
          knownPods.map(describePod),
          known.map(describeContainer),
          Math.max(registrationTimeoutMs, requestTimeoutMs),
        );
        updates.add(plugin.label, wanted);
      });
      await updates.apply();
      deps.log.info({ plugin: plugin.label }, 'NRI plugin takes part');
    } catch (error) {
      plugin.close('it could not be synchronized');
      deps.log.warn({ plugin: plugin.label, why: messageOf(error) }, 'NRI plugin could not be synchronized');
    }
  };
  const connect = async (socket: Socket) => {
    try {
      await join(await openPlugin(socket, pluginDeps));
    } catch (error) {
      deps.log.warn({ why: messageOf(error) }, 'a connection to the NRI socket was no plugin');
    }
  };
  let listener: AsyncDisposable | undefined;
  return {
    sandboxHooks: sandboxHooks(deps, set, pods),
    containerHooks: containerHooks(deps, set, containers),
    plugins: () => set.all.map(({ label }) => label),
    async start() {
      if (!deps.settings.enabled) return;
      for (const installed of installedPlugins(deps)) {
        const plugin = await launchPlugin(deps, pluginDeps, installed);
        if (plugin !== undefined) await join(plugin);
      }
      try {
        listener = await listenForPlugins(deps.settings.socket, (socket) => void connect(socket));
      } catch (error) {
        deps.log.error({ why: messageOf(error) }, 'NRI plugins cannot connect; the node serves without them');
      }
    },
    async [Symbol.asyncDispose]() {
      await listener?.[Symbol.asyncDispose]();
      for (const plugin of set.all) plugin.close('the runtime is going down');
    },
  };
}

/** Those that are ready, and those that plugins know of already. */
function allPods(deps: NriDeps, announced: Map<string, SandboxView>): SandboxView[] {
  const ready = deps.sandboxes.list().filter((one) => one.ready);
  for (const { id } of ready) announced.delete(id);
  return [...ready, ...announced.values()];
}

function allContainers(deps: NriDeps, announced: Map<string, NriContainer>): NriContainer[] {
  const live = deps.containers.live();
  const ids = new Set(live.map(({ id }) => id));
  return [...live, ...[...announced.values()].filter(({ id }) => !ids.has(id))];
}
