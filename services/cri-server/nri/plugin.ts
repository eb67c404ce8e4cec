/**
 * One plugin's connection: it registers, is configured, and then answers calls. A plugin that does not answer in
 * time or whose connection breaks is closed for good; one that answers with an error lives on.
 */
import type { Duplex } from 'node:stream';
import type { DescMethod } from '@bufbuild/protobuf';
import {
  Event,
  Plugin as PluginService,
  Runtime,
  type UpdateContainersRequest,
} from '#contracts/nri/nri_pb.ts';
import { isSkiffError, SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { withDeadline } from '#foundation/base/time.ts';
import type { InitOf, OutputInitOf, OutputOf } from '#foundation/grpc/service.ts';
import { isRemoteFailure, serveTtrpc, ttrpcClient } from '#foundation/grpc/ttrpc.ts';
import { multiplex } from '#foundation/grpc/ttrpc-mux.ts';
import type { NriSettings } from './ports.ts';

/** Numbers of the connections that share the socket. */
const pluginConnection = 1;
const runtimeConnection = 2;
/** One bit for each of the 14 events. */
const allEvents = 2 ** 14 - 1;

/** A plugin that was started by Skiff is known before it registers. */
export interface PluginIdentity {
  /** Two digits. */
  index: string;
  name: string;
  /** Text that Configure hands it. */
  config: string;
}

/** A configured plugin. */
export interface Plugin {
  readonly index: string;
  readonly name: string;
  /** `10-name`. */
  readonly label: string;
  readonly isClosed: boolean;
  subscribed(event: Event): boolean;
  /** Whether it asked to judge adjustments, and did not only leave the choice of events open. */
  readonly validates: boolean;
  /**
   * Calls it. A plugin that breaks off or is late is closed, and undefined comes back: the node goes on without it.
   * Late is what takes longer than a request may, unless told.
   *
   * @throws SkiffError if the plugin answers with an error, or the request is too large.
   */
  call<M extends DescMethod>(
    method: M,
    request: InitOf<M>,
    timeoutMs?: number,
  ): Promise<OutputOf<M> | undefined>;
  close(why: string): void;
  /** Calls back once it is closed, also if it is already. */
  onClose(call: () => void): void;
}

/** What a connection needs. */
export interface PluginDeps {
  settings: Pick<NriSettings, 'registrationTimeoutMs' | 'requestTimeoutMs'>;
  version: string;
  log: Logger;
  /** Answers the plugin's own wish to change containers. */
  updateContainers(
    request: UpdateContainersRequest,
  ): Promise<OutputInitOf<typeof Runtime.method.updateContainers>>;
}

/**
 * Waits until the plugin on a socket has registered, and configures it.
 *
 * @throws SkiffError DEADLINE_EXCEEDED, INVALID_ARGUMENT (a bad name, index or event), UNAVAILABLE; the socket is
 *   closed then.
 */
export async function openPlugin(socket: Duplex, deps: PluginDeps, known?: PluginIdentity): Promise<Plugin> {
  const { registrationTimeoutMs, requestTimeoutMs } = deps.settings;
  const mux = multiplex(socket);
  const client = ttrpcClient(mux.open(pluginConnection));
  const registered = Promise.withResolvers<PluginIdentity>();
  registered.promise.catch(() => {});
  mux.onClose((why) => registered.reject(why));
  serveTtrpc(mux.open(runtimeConnection), Runtime, {
    registerPlugin: ({ pluginName, pluginIdx }) => {
      try {
        registered.resolve(known ?? checkIdentity(pluginName, pluginIdx));
      } catch (error) {
        registered.reject(error);
        throw error;
      }
      return {};
    },
    updateContainers: async (request) => {
      await registered.promise;
      return deps.updateContainers(request);
    },
  });
  try {
    const what = 'Registration of an NRI plugin';
    const identity = await withDeadline(what, registrationTimeoutMs, () => registered.promise);
    const { events } = await client.call(
      PluginService.method.configure,
      {
        config: identity.config,
        runtimeName: 'skiff',
        runtimeVersion: deps.version,
        registrationTimeout: BigInt(registrationTimeoutMs),
        requestTimeout: BigInt(requestTimeoutMs),
        NRIVersion: '0.9.0',
      },
      requestTimeoutMs,
    );
    return configured(identity, checkEvents(events), { mux, client, deps });
  } catch (error) {
    const why = wrapError(error, 'Cannot register an NRI plugin');
    // Its own answer to a bad registration shall still reach it.
    setImmediate(() => mux.close(why));
    throw why;
  }
}

function configured(
  { index, name }: PluginIdentity,
  events: number,
  {
    mux,
    client,
    deps,
  }: { mux: ReturnType<typeof multiplex>; client: ReturnType<typeof ttrpcClient>; deps: PluginDeps },
): Plugin {
  const label = `${index}-${name}`;
  const mask = events === 0 ? allEvents : events; // None named means all.
  let isClosed = false;
  mux.onClose((why) => {
    isClosed = true;
    deps.log.info({ plugin: label, why: why.message }, 'NRI plugin is gone');
  });
  return {
    index,
    name,
    label,
    get isClosed() {
      return isClosed;
    },
    subscribed: (event) => (mask & (1 << (event - 1))) !== 0,
    validates: (events & (1 << (Event.VALIDATE_CONTAINER_ADJUSTMENT - 1))) !== 0,
    async call(method, request, timeoutMs = deps.settings.requestTimeoutMs) {
      try {
        return await client.call(method, request, timeoutMs);
      } catch (error) {
        if (isRemoteFailure(error) || isSkiffError(error, 'RESOURCE_EXHAUSTED')) throw error;
        const why = wrapError(error, `NRI plugin "${label}" failed ${method.name} and is dropped`);
        deps.log.error({ plugin: label, error: why }, 'NRI plugin is dropped');
        isClosed = true;
        mux.close(why);
        return undefined;
      }
    },
    close: (why) => mux.close(new SkiffError('CANCELLED', why)),
    onClose: (call) => mux.onClose(call),
  };
}

/** @throws SkiffError INVALID_ARGUMENT. */
function checkIdentity(name: string, index: string): PluginIdentity {
  if (!/^[A-Za-z0-9_.+-]+$/.test(name))
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `an NRI plugin's name is "${name}": use letters, digits and _.+-`,
    );
  if (!/^\d\d$/.test(index))
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `the index of NRI plugin "${name}" is "${index}": use two digits`,
    );
  return { index, name, config: '' };
}

function checkEvents(events: number): number {
  if ((events & ~allEvents) !== 0)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `it subscribes to events that there are none of: mask ${events}`,
    );
  return events;
}
