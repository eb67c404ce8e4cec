/** The core against Debian's containerd: pods from a manifest directory, their life and their end. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { CoreEvent, Pod } from '#contracts/kubernetes/types.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { createRegistry } from '#foundation/base/metrics.ts';
import { systemClock } from '#foundation/base/time.ts';
import {
  busyboxImage,
  type ContainerdPeer,
  containerdInstalled,
  startContainerd,
} from '../../test/peers/containerd.ts';
import { type Core, createCore } from './core.ts';
import { defaultSettings } from './core-deps.ts';
import { type FakeParts, fakeParts } from './testing/parts.ts';

const skip = containerdInstalled ? false : 'needs Debian package containerd';
const logger = process.env.VERBOSE === undefined ? silentLogger : createLogger('info');

let peer: ContainerdPeer;
before(async () => {
  if (containerdInstalled) peer = await startContainerd(71);
});
after(async () => peer?.stop());

interface Node extends AsyncDisposable {
  core: Core;
  parts: FakeParts;
  manifests: string;
  events: CoreEvent[];
  root: string;
  pod(name: string): Pod | undefined;
}

async function node(root = mkdtempSync('/tmp/skiff-core-'), options: { keep?: boolean } = {}): Promise<Node> {
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
      cri: peer.cri,
      clock: systemClock,
      logger,
      metrics: createRegistry(),
      settings: { ...defaultSettings, initialRestartBackoffMs: 300 },
      manifests: { path: manifests },
      decodePod: (text) => JSON.parse(text) as Pod,
      decodePods: (text) => [JSON.parse(text) as Pod],
      eventSinks: [{ record: (event) => events.push(event) }],
      nodeIps: () => [],
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
      const { items } = await peer.cri.runtime.listPodSandbox({});
      for (const { id } of items) {
        await peer.cri.runtime.stopPodSandbox({ podSandboxId: id });
        await peer.cri.runtime.removePodSandbox({ podSandboxId: id });
      }
      rmSync(root, { recursive: true, force: true });
    },
  };
}

function manifest(name: string, spec: Partial<Pod['spec']>, metadata: object = {}): string {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, ...metadata }, spec };
  return JSON.stringify(pod);
}

const forever = ['sleep', '100000'];
const box = { image: busyboxImage, imagePullPolicy: 'IfNotPresent' as const };

async function until(what: string, check: () => boolean | undefined, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (check() !== true) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await wait(5);
  }
}

test('a static pod runs, is described in full, and goes with its manifest', { skip }, async () => {
  await using it = await node();
  const path = join(it.manifests, 'a.json');
  const start = performance.now();
  writeFileSync(path, manifest('a', { containers: [{ name: 'main', command: forever, ...box }] }));
  await until('Running', () => it.pod('a')?.status?.phase === 'Running');
  const took = performance.now() - start;
  const pod = it.pod('a');
  const status = pod?.status?.containerStatuses?.[0];
  assert.equal(pod?.metadata.uid?.length, 32);
  assert.equal(pod?.metadata.annotations?.['kubernetes.io/config.source'], 'file');
  assert.match(status?.containerID ?? '', /^containerd:\/\//);
  assert.equal(status?.ready, true);
  assert.equal(pod?.status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'True');
  assert.equal(pod?.status?.qosClass, 'BestEffort');
  assert.match(pod?.status?.podIP ?? '', /^10\.99\./);
  const reasons = it.events.map(({ reason }) => reason);
  assert.deepEqual(reasons.slice(0, 3), ['Pulled', 'Created', 'Started']);
  console.log(`running after ${Math.round(took)} ms`);
  unlinkSync(path);
  await until('gone', () => it.pod('a') === undefined && it.core.services.view.runningPods().length === 0);
});
