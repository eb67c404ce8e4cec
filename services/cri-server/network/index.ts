/**
 * Pod networks by CNI. A directory of configuration is watched; the first valid list in it is the pod network.
 * A sandbox gets a plan first (list, arguments, capabilities), which is recorded, then ADD by that plan; DEL
 * uses the recorded plan and result, so that a pod leaves by the configuration it came by.
 *
 * `cni/` speaks the protocol, `plugins/` does in this process what well-known plugins do.
 */
import { type FSWatcher, mkdirSync, watch } from 'node:fs';
import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { argsOf, capabilitiesOf } from './capabilities.ts';
import {
  type Attachment,
  addChain,
  checkChain,
  collectChain,
  deleteChain,
  statusChain,
} from './cni/chain.ts';
import { type ConfigDirectory, readConfigDirectory } from './cni/config.ts';
import type { CniResult, PluginRunner } from './cni/types.ts';

export type { Attachment } from './cni/chain.ts';
export type { CniResult } from './cni/types.ts';

/** Whether pods can get a network now. */
export interface NetworkStatus {
  ready: boolean;
  /** Empty when ready, else `NetworkPluginNotReady`. */
  reason: string;
  message: string;
}

/** Gives sandboxes their network. */
export interface PodNetwork {
  /**
   * How a sandbox would be attached now.
   *
   * @throws SkiffError UNAVAILABLE without a configuration, INVALID_ARGUMENT for impossible ports or rates.
   */
  plan(id: string, config: PodSandboxConfig): Attachment;
  /** ADD. @param netns path of the pod's namespace. @throws SkiffError; `detach` must follow also then. */
  attach(plan: Attachment, netns: string, signal: AbortSignal): Promise<CniResult>;
  /** DEL; repeating it is success. @param netns left out if it is gone. */
  detach(
    plan: Attachment,
    netns: string | undefined,
    result: CniResult | undefined,
    signal: AbortSignal,
  ): Promise<void>;
  /** CHECK. @throws SkiffError if the network is not as ADD left it. */
  check(plan: Attachment, netns: string, result: CniResult, signal: AbortSignal): Promise<void>;
  /** GC: releases what belongs to none of these. */
  collect(valid: readonly Attachment[], signal: AbortSignal): Promise<void>;
  /** What Status reports of the network. */
  status(signal: AbortSignal): Promise<NetworkStatus>;
  /** The configuration file in force, for the verbose status. */
  current(): ConfigDirectory;
  /** Reads the directory now. */
  refresh(): void;
  close(): void;
}

/** What the pod network needs. */
export interface NetworkDeps {
  /** The directory of CNI configuration; made if absent. */
  configDir: string;
  runner: PluginRunner;
  log: Logger;
}

/** Opens the pod network and begins to watch its configuration. */
export function createPodNetwork({ configDir, runner, log }: NetworkDeps): PodNetwork {
  let state = readConfigDirectory(configDir);
  const refresh = () => {
    const before = JSON.stringify(state);
    state = readConfigDirectory(configDir);
    if (JSON.stringify(state) === before) return;
    log.info(
      { file: state.file, network: state.list?.name, problems: state.problems },
      'CNI configuration changed',
    );
  };
  const watcher = watchDirectory(configDir, refresh, log);
  return {
    plan(id, config) {
      if (state.list === undefined) refresh();
      if (state.list === undefined) throw notReady(state);
      const capabilities = capabilitiesOf(config);
      return { list: state.list, containerId: id, ifName: 'eth0', args: argsOf(id, config), capabilities };
    },
    attach: (plan, netns, signal) => addChain(runner, plan, netns, signal),
    detach: (plan, netns, result, signal) => deleteChain(runner, plan, netns ?? '', result, signal),
    check: (plan, netns, result, signal) => checkChain(runner, plan, netns, result, signal),
    async collect(valid, signal) {
      const { list } = state;
      if (list === undefined) return;
      const here = valid.filter((attachment) => attachment.list.name === list.name);
      await collectChain(runner, list, here, signal);
    },
    async status(signal) {
      refresh(); // The watch may have missed that the directory itself was replaced.
      try {
        if (state.list === undefined) throw notReady(state);
        await statusChain(runner, state.list, signal);
        return { ready: true, reason: '', message: '' };
      } catch (error) {
        return { ready: false, reason: 'NetworkPluginNotReady', message: messageOf(error) };
      }
    },
    current: () => state,
    refresh,
    close: () => watcher?.close(),
  };
}

function notReady({ problems }: ConfigDirectory): SkiffError {
  return new SkiffError('UNAVAILABLE', `The pod network is not ready: ${problems.join('; ')}`);
}

function watchDirectory(directory: string, changed: () => void, log: Logger): FSWatcher | undefined {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const watcher = watch(directory, { persistent: false }, changed);
    watcher.on('error', (error) =>
      log.warn({ directory, error: messageOf(error) }, 'CNI directory is not watched'),
    );
    return watcher;
  } catch (error) {
    // Status calls read the directory too; the kubelet makes one every few seconds.
    log.warn({ directory, error: messageOf(error) }, 'CNI directory is not watched');
    return undefined;
  }
}
