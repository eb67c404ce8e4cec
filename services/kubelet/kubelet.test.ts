/** The whole kubelet over a real runtime (`TESTED_RUNTIME`): what a pod's manifest says is what its containers see. */
import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { CoreEvent, Pod } from '#contracts/kubernetes/types.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import {
  runtimeMissing as skip,
  startTestedRuntime,
  type TestedRuntime,
} from '../../test/peers/tested-runtime.ts';
import { loadConfiguration } from './configuration/load.ts';
import { createKubelet, type Kubelet } from './kubelet.ts';
import { endKubelet } from './testing/end-kubelet.ts';
import { quietKubelet } from './testing/quiet.ts';

const logger = process.env.VERBOSE === undefined ? silentLogger : createLogger('info');

let peer: TestedRuntime;
before(async () => {
  if (skip === false) peer = await startTestedRuntime(72);
});
after(async () => peer?.[Symbol.asyncDispose]());

interface Node extends AsyncDisposable {
  kubelet: Kubelet;
  manifests: string;
  events: CoreEvent[];
  root: string;
  pod(name: string): Pod | undefined;
}

async function node(): Promise<Node> {
  const root = mkdtempSync('/tmp/skiff-kub-');
  const manifests = join(root, 'manifests');
  mkdirSync(manifests);
  const events: CoreEvent[] = [];
  const configuration = loadConfiguration({ overrides: { ...quietKubelet, staticPodPath: manifests } });
  const kubelet = createKubelet({
    paths: pathsUnder(root),
    cri: peer.cri,
    configuration,
    clock: systemClock,
    logger,
    nodeName: 'node1',
    eventSinks: [{ record: (event) => events.push(event) }],
    settings: { initialRestartBackoffMs: 300 },
  });
  await kubelet.start();
  return {
    kubelet,
    manifests,
    events,
    root,
    pod: (name) => kubelet.services.view.find('default', `${name}-node1`),
    async [Symbol.asyncDispose]() {
      for (const name of readdirSync(manifests)) unlinkSync(join(manifests, name));
      await until('no pods', () => kubelet.services.view.runningPods().length === 0, 30_000).catch(() => {});
      await endKubelet(kubelet);
      const { items } = await peer.cri.runtime.listPodSandbox({});
      for (const { id } of items) {
        await peer.cri.runtime.stopPodSandbox({ podSandboxId: id });
        await peer.cri.runtime.removePodSandbox({ podSandboxId: id });
      }
      unmountTree(root);
      rmSync(root, { recursive: true, force: true });
    },
  };
}

async function until(what: string, check: () => boolean | undefined, ms = 60_000): Promise<void> {
  const end = Date.now() + ms;
  while (check() !== true) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await wait(10);
  }
}

test('init, sidecar, shared volume, environment and probes of one manifest', { skip }, async () => {
  await using it = await node();
  writeFileSync(
    join(it.manifests, 'web.yaml'),
    `apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: { app: web }
spec:
  terminationGracePeriodSeconds: 2
  volumes:
  - name: shared
    emptyDir: {}
  initContainers:
  - name: prepare
    image: ${peer.image}
    command: [sh, -c, 'echo prepared by $WHO > /data/page']
    env:
    - name: WHO
      valueFrom: { fieldRef: { fieldPath: metadata.name } }
    volumeMounts: [{ name: shared, mountPath: /data }]
  - name: sidecar
    image: ${peer.image}
    restartPolicy: Always
    command: [sh, -c, 'while :; do date > /data/now; sleep 1; done']
    volumeMounts: [{ name: shared, mountPath: /data }]
  containers:
  - name: server
    image: ${peer.image}
    command: [httpd, -f, -p, '8080', -h, /data]
    resources: { requests: { cpu: 10m, memory: 16Mi }, limits: { memory: 64Mi } }
    readinessProbe:
      httpGet: { path: /page, port: 8080 }
      periodSeconds: 1
    volumeMounts: [{ name: shared, mountPath: /data, readOnly: true }]
`,
  );
  const ready = () =>
    it.pod('web')?.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
  await until('Ready', ready);
  const status = it.pod('web')?.status;
  assert.equal(status?.phase, 'Running');
  assert.equal(status?.qosClass, 'Burstable');
  assert.deepEqual(
    status?.initContainerStatuses?.map(({ name, ready: isReady }) => [name, isReady]),
    [
      ['prepare', true],
      ['sidecar', true],
    ],
  );
  const page = await fetch(`http://${status?.podIP}:8080/page`);
  assert.equal(await page.text(), 'prepared by web-node1\n');
  const logs = readdirSync(join(it.root, 'log', 'containers'));
  assert.equal(logs.length, 3);
  unlinkSync(join(it.manifests, 'web.yaml'));
  const uid = it.pod('web')?.metadata.uid ?? '';
  await until('gone', () => it.pod('web') === undefined);
  await until('its directory is gone', () => !readdirSync(join(it.root, 'lib/kubelet/pods')).includes(uid));
  assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(uid));
});
