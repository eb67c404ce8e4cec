/**
 * Chooses how a plugin runs: in this process where its type and every key of its configuration are known here,
 * executed as the CNI spec says in every other case.
 */
import type { PluginCall, PluginRunner } from '../cni/types.ts';
import type { PacketFilter } from '../filter/index.ts';
import { bandwidth } from './bandwidth.ts';
import { createBridgePlugin } from './bridge.ts';
import { loopback } from './loopback.ts';
import type { NativePlugin } from './native.ts';
import { createPortmapPlugin } from './portmap.ts';

/** Makes a runner that serves known plugins itself and gives all others to `execute`. */
export function createPluginRunner(execute: PluginRunner, filter: PacketFilter): PluginRunner {
  const plugins: Record<string, NativePlugin | undefined> = {
    loopback,
    bandwidth,
    bridge: createBridgePlugin(filter),
    portmap: createPortmapPlugin(filter),
  };
  return {
    run(call, signal) {
      const plugin = Object.hasOwn(plugins, call.config.type) ? plugins[call.config.type] : undefined;
      return plugin?.supports(call.config) ? serve(plugin, call, signal) : execute.run(call, signal);
    },
  };
}

async function serve(plugin: NativePlugin, call: PluginCall, signal: AbortSignal) {
  switch (call.verb) {
    case 'ADD':
      return plugin.add(call, signal);
    case 'DEL':
      await plugin.delete(call, signal);
      return undefined;
    case 'CHECK':
      await plugin.check(call);
      return undefined;
    case 'GC':
      await plugin.collect?.(call);
      return undefined;
    case 'STATUS':
      return undefined;
  }
}
