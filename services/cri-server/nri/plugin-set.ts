/**
 * The plugins in order of their indexes, and the way events reach them: one event at a time for the whole node, so
 * that every plugin sees one order, and a plugin that is being synchronized misses none.
 */
import { create } from '@bufbuild/protobuf';
import {
  type Container,
  ContainerEventSchema,
  Event,
  Plugin as PluginService,
  PodEventSchema,
  type PodSandbox,
} from '#contracts/nri/nri_pb.ts';
import { isSkiffError, wrapError } from '#foundation/base/errors.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import type { Plugin } from './plugin.ts';

/** Events that only tell; their methods are named in the order of the protocol. */
const { method } = PluginService;
const tellingMethods = {
  [Event.RUN_POD_SANDBOX]: method.runPodSandbox,
  [Event.POST_UPDATE_POD_SANDBOX]: method.postUpdatePodSandbox,
  [Event.STOP_POD_SANDBOX]: method.stopPodSandbox,
  [Event.REMOVE_POD_SANDBOX]: method.removePodSandbox,
  [Event.POST_CREATE_CONTAINER]: method.postCreateContainer,
  [Event.START_CONTAINER]: method.startContainer,
  [Event.POST_START_CONTAINER]: method.postStartContainer,
  [Event.POST_UPDATE_CONTAINER]: method.postUpdateContainer,
  [Event.REMOVE_CONTAINER]: method.removeContainer,
} as const;

/** An event that only tells. */
export type TellingEvent = keyof typeof tellingMethods;

/** The plugins. */
export interface PluginSet {
  /** Nobody to ask, and nobody who is being synchronized and must not miss an event. */
  readonly isEmpty: boolean;
  readonly all: readonly Plugin[];
  /** Adds one after `synchronize` is done with it, with no event between. */
  add(plugin: Plugin, synchronize: () => Promise<void>): Promise<void>;
  /**
   * Asks each subscriber in turn.
   *
   * @throws SkiffError with the first plugin's error; those behind it are not asked.
   */
  each(event: Event, ask: (plugin: Plugin) => Promise<void>): Promise<void>;
  /** Runs `work` with no event beside it. */
  alone<T>(work: () => Promise<T>): Promise<T>;
  /** Tells each subscriber. @throws as `each` does. */
  tell(event: TellingEvent, pod: PodSandbox | undefined, container?: Container): Promise<void>;
}

/** An empty set. */
export function pluginSet(): PluginSet {
  const locks = keyedLocks();
  let plugins: Plugin[] = [];
  let joining = 0;
  const alone = <T>(work: () => Promise<T>) => locks.run('event', work);
  const asked = async (event: Event, ask: (plugin: Plugin) => Promise<void>) => {
    for (const plugin of plugins) {
      if (plugin.isClosed || !plugin.subscribed(event)) continue;
      try {
        await ask(plugin);
      } catch (error) {
        throw wrapError(error, `NRI plugin "${plugin.label}"`);
      }
    }
  };
  const each: PluginSet['each'] = (event, ask) => alone(() => asked(event, ask));
  return {
    get isEmpty() {
      return plugins.length === 0 && joining === 0;
    },
    get all() {
      return plugins;
    },
    async add(plugin, synchronize) {
      joining += 1;
      try {
        await alone(async () => {
          await synchronize();
          if (plugin.isClosed) return;
          plugins = [...plugins, plugin].sort((a, b) => (a.index < b.index ? -1 : a.index > b.index ? 1 : 0));
          plugin.onClose(() => {
            plugins = plugins.filter((one) => one !== plugin);
          });
        });
      } finally {
        joining -= 1;
      }
    },
    each,
    alone,
    tell: (event, pod, container) => each(event, (plugin) => tellOne(plugin, event, pod, container)),
  };
}

/** Older plugins have one method for all events that only tell. */
async function tellOne(
  plugin: Plugin,
  event: TellingEvent,
  pod: PodSandbox | undefined,
  container: Container | undefined,
): Promise<void> {
  const about = { ...(pod === undefined ? {} : { pod }), ...(container === undefined ? {} : { container }) };
  try {
    const request =
      container === undefined ? create(PodEventSchema, about) : create(ContainerEventSchema, about);
    await plugin.call(tellingMethods[event], request);
  } catch (error) {
    if (!isSkiffError(error, 'UNIMPLEMENTED')) throw error;
    await plugin.call(method.stateChange, { event, ...about });
  }
}
