/** Runs a CNI plugin as the spec says (section 2): environment in, config on standard input, JSON out. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import { type CommandResult, tryCommand } from '#foundation/linux/command.ts';
import type { CniResult, PluginCall, PluginRunner } from './types.ts';

/** The spec's error codes that say "try again later". */
const TRY_AGAIN = 11;

/** What running plugins needs. */
export interface ExecuteDeps {
  /** Directories that hold the plugins' binaries, the first match wins: `/opt/cni/bin`, `/usr/lib/cni`. */
  binDirs: readonly string[];
  /** Milliseconds until a plugin that hangs is killed. */
  timeoutMs: number;
}

/** Makes a runner that executes every plugin. */
export function createExecutingRunner({ binDirs, timeoutMs }: ExecuteDeps): PluginRunner {
  return {
    async run(call, signal) {
      signal.throwIfAborted();
      // A caller that leaves does not kill the plugin: what its children still do after DEL would stay for ever.
      const result = await tryCommand({
        file: findPlugin(call.config.type, binDirs),
        env: environmentOf(call, binDirs),
        input: JSON.stringify(call.config),
        timeoutMs,
      });
      if (result.exitCode !== 0) throw failureOf(call, result);
      return call.verb === 'ADD' ? resultOf(call, result) : undefined;
    },
  };
}

/** The path of a plugin. @throws SkiffError FAILED_PRECONDITION if it is not installed. */
function findPlugin(type: string, binDirs: readonly string[]): string {
  if (type.includes('/') || type.startsWith('.'))
    throw new SkiffError('INVALID_ARGUMENT', `CNI plugin type "${type}" must be a plain file name`);
  for (const directory of binDirs) {
    const path = join(directory, type);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next directory may have it.
    }
  }
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `CNI plugin "${type}" is not in ${binDirs.join(', ')}; install it (Debian: containernetworking-plugins)`,
  );
}

function environmentOf(call: PluginCall, binDirs: readonly string[]): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    CNI_COMMAND: call.verb,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: call.netns,
    CNI_IFNAME: call.ifName,
    CNI_ARGS: call.args,
    CNI_PATH: binDirs.join(':'),
  };
}

function failureOf(call: PluginCall, result: CommandResult): SkiffError {
  const what = `CNI plugin "${call.config.type}" failed ${call.verb} for network "${call.config.name}"`;
  const said = parse(result.stdout) as { code?: number; msg?: string; details?: string } | undefined;
  if (typeof said?.msg === 'string') {
    const details = said.details ? ` (${said.details})` : '';
    return new SkiffError(
      said.code === TRY_AGAIN ? 'UNAVAILABLE' : 'INTERNAL',
      `${what}: ${said.msg}${details}`,
    );
  }
  const tail = result.stderr.trim().slice(-1000);
  return new SkiffError('INTERNAL', `${what}: it exited with ${result.exitCode}${tail ? `: ${tail}` : ''}`);
}

function resultOf(call: PluginCall, { stdout }: CommandResult): CniResult {
  const result = parse(stdout);
  if (typeof result === 'object' && result !== null && !Array.isArray(result)) return result as CniResult;
  const shown = stdout.toString().trim().slice(0, 200);
  throw new SkiffError('INTERNAL', `CNI plugin "${call.config.type}" printed no valid result: "${shown}"`);
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}
