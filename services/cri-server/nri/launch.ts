/** Plugins that Skiff starts itself: executables `<two digits>-<name>` of a directory, each with a socket as descriptor 3. */
import { closeSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, messageOf, wrapError } from '#foundation/base/errors.ts';
import { openSocketPair } from '#foundation/linux/socket-pair.ts';
import type { SpawnedProcess } from '#foundation/linux/spawn.ts';
import { openPlugin, type Plugin, type PluginDeps, type PluginIdentity } from './plugin.ts';
import type { NriDeps } from './ports.ts';

/** A plugin to start. */
interface Installed extends PluginIdentity {
  path: string;
}

/**
 * Finds them, in order of their indexes. Files that cannot be run are passed over.
 *
 * @throws SkiffError if the directory or a configuration cannot be read; a directory that is not there has none.
 */
export function installedPlugins({ settings, log }: Pick<NriDeps, 'settings' | 'log'>): Installed[] {
  const found: Installed[] = [];
  for (const file of entriesOf(settings.pluginDirectory)) {
    const path = join(settings.pluginDirectory, file);
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.isFile() !== true || (stats.mode & 0o111) === 0) continue;
    const [, index = '', name = ''] = /^(\d\d)-([A-Za-z0-9_.+-]+)$/.exec(file) ?? [];
    if (name === '')
      log.warn({ path }, 'NRI plugin is left out: its file must be called <two digits>-<name>');
    else found.push({ path, index, name, config: configOf(settings.configDirectory, index, name) });
  }
  return found;
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw wrapError(error, `Cannot read the directory of NRI plugins "${directory}"`);
  }
}

function configOf(directory: string, index: string, name: string): string {
  for (const file of [`${index}-${name}.conf`, `${name}.conf`]) {
    try {
      return readFileSync(join(directory, file), 'utf8');
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT')
        throw wrapError(error, `Cannot read the configuration of NRI plugin "${index}-${name}"`);
    }
  }
  return '';
}

/** Starts a plugin and waits until it is configured; undefined, and nothing is left, if it cannot be. */
export async function launchPlugin(
  deps: Pick<NriDeps, 'spawner' | 'log'>,
  pluginDeps: PluginDeps,
  installed: Installed,
): Promise<Plugin | undefined> {
  const { path, index, name } = installed;
  let child: SpawnedProcess | undefined;
  try {
    const { ours, theirs } = openSocketPair();
    try {
      const env = { NRI_PLUGIN_NAME: name, NRI_PLUGIN_IDX: index, NRI_PLUGIN_SOCKET: '3' };
      child = deps.spawner.spawn({ file: path, args: [], env, fds: { 3: theirs } });
    } catch (error) {
      ours.destroy();
      throw error;
    } finally {
      closeSync(theirs);
    }
    const plugin = await openPlugin(ours, pluginDeps, installed);
    const { kill } = child;
    plugin.onClose(() => kill(9));
    return plugin;
  } catch (error) {
    child?.kill(9);
    deps.log.warn({ path, why: messageOf(error) }, 'NRI plugin could not be started');
    return undefined;
  }
}
