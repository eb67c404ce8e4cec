/** Skiff's kubelet for the cases, over a CRI runtime that somebody started. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import type { CoreEvent } from '#contracts/kubernetes/types.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { loadConfiguration } from '#services/kubelet/configuration/load.ts';
import { createKubelet } from '#services/kubelet/kubelet.ts';
import { endKubelet } from '#services/kubelet/testing/end-kubelet.ts';
import { quietKubelet } from '#services/kubelet/testing/quiet.ts';
import type { Facility } from './case.ts';
import { startImages } from './images.ts';
import { openKubelet } from './kubelet-client.ts';
import type { Stage } from './runner.ts';

/** `VERBOSE=1` shows what the kubelet logs. */
const logger = process.env.VERBOSE === undefined ? silentLogger : createLogger('info');

export interface StageOptions {
  /** `unix:///...` of the runtime. */
  endpoint: string;
  facilities: readonly Facility[];
}

/**
 * The configuration of the cases: anybody may use the API on loopback, containers that fail restart within three
 * seconds instead of five minutes. The original takes the same as a file.
 */
const configured = {
  ...quietKubelet,
  failCgroupV1: false,
  serializeImagePulls: false,
  // All cases pull at once: the limit is no case's business.
  registryPullQPS: 0,
  authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
  authorization: { mode: 'AlwaysAllow' as const },
  crashLoopBackOff: { maxContainerRestartPeriod: '3s' },
  imageGCHighThresholdPercent: 100,
};

/** Waits for the last pods of cases that failed; their end is no test's business any more. */
async function ended(count: () => number): Promise<void> {
  for (const end = performance.now() + 20_000; count() > 0 && performance.now() < end; ) await sleep(100);
}

/** What the runtime and the machine do not have, whatever the test says. */
async function missingHere(cri: CriClient): Promise<Set<Facility>> {
  const { runtimeHandlers, features } = await cri.runtime.status({});
  const users = runtimeHandlers.some(
    ({ name, features: has }) => name === '' && has?.userNamespaces === true,
  );
  const missing = new Set<Facility>();
  if (!users) missing.add('user-namespaces');
  if (features?.supplementalGroupsPolicy !== true) missing.add('strict-groups');
  if (existsSync('/sys/module/apparmor/parameters/enabled')) missing.add('no-app-armor');
  return missing;
}

/** Starts it, with the registry of the images; disposing it ends its pods and removes what it made. */
export async function openStage(options: StageOptions): Promise<Stage & AsyncDisposable> {
  await using undo = undoStack();
  const root = mkdtempSync('/tmp/skiff-pod-');
  chmodSync(root, 0o711); // Pods of users without rights pass through it.
  undo.defer('remove the directory', () => {
    unmountTree(root);
    rmSync(root, { recursive: true, force: true });
  });
  const [manifests, files] = [join(root, 'manifests'), join(root, 'files')];
  mkdirSync(manifests);
  mkdirSync(files);
  const registry = await startImages();
  undo.defer('stop the registry', async () => registry[Symbol.asyncDispose]());
  const cri = connectCri(options.endpoint);
  undo.defer('close the connection', () => cri.close());
  const missing = await missingHere(cri);
  const events: CoreEvent[] = [];
  const kubelet = createKubelet({
    paths: pathsUnder(root),
    cri,
    configuration: loadConfiguration({ overrides: { ...configured, staticPodPath: manifests } }),
    clock: systemClock,
    logger,
    nodeName: 'node1',
    eventSinks: [{ record: (event) => events.push(event) }],
  });
  await kubelet.start();
  undo.defer('stop the kubelet', async () => {
    await ended(() => kubelet.services.view.runningPods().length);
    await endKubelet(kubelet);
  });
  const client = openKubelet({ url: `https://127.0.0.1:${kubelet.ports().get('secure')}` });
  undo.defer('close the client', async () => client[Symbol.asyncDispose]());
  const ending = undo.move();
  return {
    kubelet: client,
    manifests,
    files,
    registry: registry.host,
    facilities: new Set(options.facilities.filter((each) => !missing.has(each))),
    events: () =>
      events.map(({ involvedObject: { namespace = '', name = '' }, reason = '', message = '' }) => ({
        namespace,
        name,
        reason,
        message,
      })),
    patience: 60,
    [Symbol.asyncDispose]: () => ending[Symbol.asyncDispose](),
  };
}
