/** CPU, memory and topology manager with a real container on Skiff's own runtime, over a restart of the kubelet. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { startSkiffRuntime } from '../../test/peers/tested-runtime.ts';
import { loadConfiguration } from './configuration/load.ts';
import { createKubelet } from './kubelet.ts';
import { parseCpus } from './resources/cpu-set.ts';
import { readCpus } from './resources/cpu-topology.ts';
import { endKubelet } from './testing/end-kubelet.ts';
import { quietKubelet } from './testing/quiet.ts';

const logger = process.env.VERBOSE === undefined ? silentLogger : createLogger('info');
const cpus = readCpus().map(({ id }) => id);
const skip = cpus.length < 2 ? 'needs two CPUs' : false;

async function until<T>(what: string, look: () => T | undefined | false, ms = 120_000): Promise<T> {
  for (const end = performance.now() + ms; performance.now() < end; await wait(30)) {
    const found = look();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`not within ${ms} ms: ${what}`);
}

const manifest = (name: string, image: string, resources: object) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, uid: `uid-${name}` },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'c',
          image,
          command: [
            'sh',
            '-c',
            'while :; do grep _allowed_list /proc/self/status > /out/new; busybox mv /out/new /out/now; sleep 0.1; done',
          ],
          resources,
          volumeMounts: [{ name: 'out', mountPath: '/out' }],
        },
      ],
      volumes: [{ name: 'out', emptyDir: {} }],
    },
  });

/** The directory of the kubelet's pods, and what a container may use as it sees it itself. */
function allowed(kubeletRoot: string, name: string): { cpus: string; mems: string } {
  const text = readFileSync(
    join(kubeletRoot, `pods/uid-${name}/volumes/kubernetes.io~empty-dir/out/now`),
    'utf8',
  );
  const of = (field: string) => new RegExp(`^${field}_allowed_list:\\s*(\\S+)`, 'm').exec(text)?.[1] ?? '';
  return { cpus: of('Cpus'), mems: of('Mems') };
}

test('whole CPUs and the memory of a node for a Guaranteed pod alone', {
  skip,
  timeout: 400_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync('/tmp/skiff-man-');
  stack.defer(() => {
    unmountTree(root);
    rmSync(root, { recursive: true, force: true });
  });
  const { cri, image } = stack.use(await startSkiffRuntime());
  const manifests = join(root, 'manifests');
  mkdirSync(manifests);
  const [system = 0, ...rest] = cpus;
  const begin = async () => {
    const kubelet = createKubelet({
      paths: pathsUnder(root),
      cri,
      configuration: loadConfiguration({
        overrides: {
          ...quietKubelet,
          staticPodPath: manifests,
          cpuManagerPolicy: 'static',
          reservedSystemCPUs: String(system),
          cpuManagerReconcilePeriod: '500ms',
          memoryManagerPolicy: 'Static',
          kubeReserved: { memory: '100Mi' },
          reservedMemory: [{ numaNode: 0, limits: { memory: '100Mi' } }],
          topologyManagerPolicy: 'single-numa-node',
        },
      }),
      clock: systemClock,
      logger,
      nodeName: 'node1',
    });
    await kubelet.start();
    return kubelet;
  };
  let kubelet = await begin();
  stack.defer(() => endKubelet(kubelet));
  const kubeletRoot = pathsUnder(root).kubelet;
  const runs = (name: string) =>
    until(`${name} says what it may use`, () => {
      try {
        return allowed(kubeletRoot, name).cpus !== '';
      } catch {
        return false;
      }
    });
  writeFileSync(join(manifests, 'any.json'), manifest('any', image, {}));
  await runs('any');
  assert.deepEqual(parseCpus(allowed(kubeletRoot, 'any').cpus), cpus);
  const whole = { limits: { cpu: '1', memory: '64Mi' } };
  writeFileSync(join(manifests, 'own.json'), manifest('own', image, whole));
  await runs('own');
  const given = allowed(kubeletRoot, 'own');
  assert.deepEqual(parseCpus(given.cpus), rest.slice(0, 1));
  assert.equal(given.mems, '0');
  const others = cpus.filter((id) => id !== rest[0]);
  await until('the other one leaves that CPU', () => {
    const now = parseCpus(allowed(kubeletRoot, 'any').cpus);
    return now.length === others.length && now.every((id) => others.includes(id));
  });
  await kubelet.stop();
  kubelet = await begin();
  assert.deepEqual(kubelet.parts.cpus.exclusive('uid-own', 'c'), rest.slice(0, 1));
  writeFileSync(
    join(manifests, 'much.json'),
    manifest('much', image, { limits: { cpu: String(rest.length), memory: '64Mi' } }),
  );
  const refused = await until('a pod that does not fit is refused', () => {
    const pod = kubelet.services.view.find('default', 'much-node1');
    return pod?.status?.phase === 'Failed' && pod;
  });
  assert.match(refused.status?.reason ?? '', /^(OutOfcpu|TopologyAffinityError|UnexpectedAdmissionError)$/);
  assert.deepEqual(parseCpus(allowed(kubeletRoot, 'own').cpus), rest.slice(0, 1));
  for (const name of readdirSync(manifests)) rmSync(join(manifests, name));
  await until('all pods are gone', () => kubelet.services.view.runningPods().length === 0);
  await until('its CPU is free', () => kubelet.parts.cpus.exclusive('uid-own', 'c').length === 0);
});
