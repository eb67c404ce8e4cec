/**
 * Finds plugins by the sockets they put into the plugins_registry directory, asks each what it is, and tells it whether
 * it was taken (the kubelet's plugin watcher).
 */
import { existsSync, mkdirSync, readdirSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { Registration } from '#contracts/device-plugin/plugin-registration_pb.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { type Repeating, repeat } from '#foundation/base/repeat.ts';
import type { Clock } from '#foundation/base/time.ts';
import { openChannel } from '#foundation/grpc/client.ts';

/** What a plugin says of itself. */
export interface PluginFound {
  /** `CSIPlugin`, `DevicePlugin`. */
  type: string;
  name: string;
  /** Absolute path of the socket of its service. */
  endpoint: string;
  versions: readonly string[];
}

/** Takes plugins of one type. */
export interface PluginHandler {
  /** @throws why it cannot be taken; the plugin is told. */
  added(plugin: PluginFound): Promise<void>;
  /** Its socket is gone. */
  removed(name: string): void;
}

/** What the registry needs. */
export interface RegistryDeps {
  /** `plugins_registry`. */
  directory: string;
  handlers: ReadonlyMap<string, PluginHandler>;
  clock: Clock;
  log: Logger;
}

/** Milliseconds between looks; changes of the directory are seen at once. */
const pollMs = 10_000;

/** Makes the registry. */
export function createPluginRegistry(deps: RegistryDeps): { start(): Promise<void>; stop(): Promise<void> } {
  /** Sockets by path, with the inode: a plugin that comes back has another. */
  const known = new Map<string, { inode: number; plugin: PluginFound }>();
  let looking: Repeating | undefined;
  let watcher: ReturnType<typeof watch> | undefined;
  let again: Promise<void> = Promise.resolve();
  const look = () => {
    again = again
      .then(() => lookOnce(deps, known))
      .catch((error: unknown) => deps.log.warn({ err: error }, 'cannot look for plugins'));
    return again;
  };
  return {
    async start() {
      mkdirSync(deps.directory, { recursive: true, mode: 0o750 });
      watcher = watch(deps.directory, () => void look());
      watcher.on('error', () => {});
      looking = repeat({ clock: deps.clock, pauseMs: () => pollMs, round: look, onError: () => {} });
    },
    async stop() {
      watcher?.close();
      await looking?.stop();
      await again;
    },
  };
}

async function lookOnce(
  deps: RegistryDeps,
  known: Map<string, { inode: number; plugin: PluginFound }>,
): Promise<void> {
  for (const [path, { inode, plugin }] of known) {
    if (existsSync(path) && statSync(path).ino === inode) continue;
    known.delete(path);
    deps.handlers.get(plugin.type)?.removed(plugin.name);
  }
  for (const name of readdirSync(deps.directory)) {
    const path = join(deps.directory, name);
    const status = statSync(path, { throwIfNoEntry: false });
    if (status?.isSocket() !== true || name.startsWith('.') || known.has(path)) continue;
    const plugin = await greet(deps, path);
    if (plugin !== undefined) known.set(path, { inode: status.ino, plugin });
  }
}

/** Asks a socket what it is and hands it to its handler. @returns nothing if it is to be asked again. */
async function greet(deps: RegistryDeps, path: string): Promise<PluginFound | undefined> {
  using channel = openChannel(`unix://${path}`);
  const client = channel.client(Registration);
  try {
    const info = await client.getInfo({}, { timeoutMs: 5000 });
    const plugin = {
      type: info.type,
      name: info.name,
      endpoint: info.endpoint || path,
      versions: info.supportedVersions,
    };
    const error = await take(deps, plugin);
    await client.notifyRegistrationStatus({ pluginRegistered: error === '', error }, { timeoutMs: 5000 });
    return error === '' ? plugin : undefined;
  } catch (error) {
    deps.log.debug({ socket: path, err: error }, 'a plugin does not answer');
    return undefined;
  }
}

async function take({ handlers, log }: RegistryDeps, plugin: PluginFound): Promise<string> {
  try {
    const handler = handlers.get(plugin.type);
    if (handler === undefined) return `no handler registered for plugin type: ${plugin.type}`;
    await handler.added(plugin);
    log.info({ type: plugin.type, name: plugin.name }, 'a plugin registered');
    return '';
  } catch (error) {
    return messageOf(error);
  }
}
