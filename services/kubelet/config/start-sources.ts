/** Starts the configured sources; each feeds its full sets into the pod config. */
import type { CoreDeps } from '../core-deps.ts';
import { runFileSource } from './file-source.ts';
import { runHttpSource } from './http-source.ts';
import type { PodConfig } from './pod-config.ts';

/** @returns what ends when the signal aborts. */
export function startSources(deps: CoreDeps, config: PodConfig, signal: AbortSignal): Promise<void>[] {
  const { manifests, nodeName, clock, logger, settings, api } = deps;
  const running: Promise<void>[] = [];
  if (manifests.path !== undefined) {
    const { path } = manifests;
    const emit = config.set.bind(config, 'file');
    const file = {
      path,
      nodeName,
      clock,
      logger,
      emit,
      everyMs: settings.fileCheckMs,
      decodePod: deps.decodePod,
    };
    running.push(runFileSource(file, signal));
  }
  if (manifests.url !== undefined) {
    const { url, urlHeaders: headers = {} } = manifests;
    const emit = config.set.bind(config, 'http');
    const common = { nodeName, clock, logger, emit, everyMs: settings.httpCheckMs };
    running.push(runHttpSource({ ...common, url, headers, decodePods: deps.decodePods }, signal));
  }
  api?.watchPods((pods) => config.set('api', pods), signal);
  return running;
}
