/** The core with parts that do the least, over a real runtime: for integration tests. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { CriClient } from '#contracts/cri/client.ts';
import type { CoreEvent, Pod } from '#contracts/kubernetes/types.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { createRegistry } from '#foundation/base/metrics.ts';
import { systemClock } from '#foundation/base/time.ts';
import { connectKubeletApi } from '../api/connect.ts';
import { type Core, createCore } from '../core.ts';
import { defaultSettings } from '../core-deps.ts';
import type { FakeApiServer } from './api-server.ts';
import { type FakeParts, fakeParts } from './parts.ts';

/** `VERBOSE=1` shows what the kubelet logs. */
const logger = process.env.VERBOSE === undefined ? silentLogger : createLogger('info');

/** A core that runs over a runtime, with its directories. */
export interface CoreNode extends AsyncDisposable {
  core: Core;
  parts: FakeParts;
  manifests: string;
  events: CoreEvent[];
  root: string;
  pod(name: string): Pod | undefined;
}

export interface NodeOptions {
  /** The directory of an earlier one, to begin again over its state. */
  root?: string;
  /** Leave pods and files when it is disposed: a crash. */
  keep?: boolean;
  api?: FakeApiServer;
}

/** Starts a core whose pods come from `ROOT/manifests`; disposing it removes every pod of the runtime. */
export async function startCore(cri: CriClient, options: NodeOptions = {}): Promise<CoreNode> {
  const root = options.root ?? mkdtempSync('/tmp/skiff-core-');
  const manifests = join(root, 'manifests');
  mkdirSync(manifests, { recursive: true });
  const events: CoreEvent[] = [];
  let parts: FakeParts | undefined;
  const core = createCore(
    {
      nodeName: 'node1',
      root: join(root, 'kubelet'),
      podLogs: join(root, 'pods'),
      containerLogs: join(root, 'containers'),
      cri,
      clock: systemClock,
      logger,
      metrics: createRegistry(),
      settings: { ...defaultSettings, initialRestartBackoffMs: 300 },
      manifests: { path: manifests },
      decodePod: (text) => JSON.parse(text) as Pod,
      decodePods: (text) => [JSON.parse(text) as Pod],
      eventSinks: [{ record: (event) => events.push(event) }],
      nodeIps: () => ['192.0.2.1'],
      api:
        options.api === undefined
          ? undefined
          : connectKubeletApi({ server: options.api.url }, { nodeName: 'node1', clock: systemClock, logger }),
    },
    (services) => {
      parts = fakeParts(services);
      return parts;
    },
  );
  await core.start();
  return {
    core,
    parts: parts as FakeParts,
    manifests,
    events,
    root,
    pod: (name) => core.services.view.find('default', `${name}-node1`),
    async [Symbol.asyncDispose]() {
      await core.stop();
      if (options.keep === true) return;
      const { items } = await cri.runtime.listPodSandbox({});
      for (const { id } of items) {
        await cri.runtime.stopPodSandbox({ podSandboxId: id });
        await cri.runtime.removePodSandbox({ podSandboxId: id });
      }
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** A manifest's text. */
export function manifest(name: string, spec: Partial<Pod['spec']>, metadata: object = {}): string {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, ...metadata }, spec };
  return JSON.stringify(pod);
}

/** Waits until it holds. @throws Error naming what did not come about. */
export async function until(what: string, check: () => boolean | undefined, ms = 60_000): Promise<void> {
  const end = Date.now() + ms;
  while (check() !== true) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await wait(5);
  }
}
