/** What a container is started with: labels, annotations, its count of restarts, its logs (kubelet-facts 3 and 6). */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import type { AnyContainer } from '../ports.ts';
import { podOf, record, runtimeOf } from '../testing/pods.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import { containerAnnotations, containerLabels, sandboxLabels } from './labels.ts';
import { startContainer } from './start-container.ts';

const pod = podOf(
  { terminationGracePeriodSeconds: 7 },
  { labels: { app: 'web' }, annotations: { note: 'n' }, deletionGracePeriodSeconds: 3 },
);
const container: AnyContainer = {
  name: 'a',
  image: 'nginx:1.27',
  ports: [{ containerPort: 80 }],
  lifecycle: { preStop: { sleep: { seconds: 1 } } },
};
const identity = {
  'io.kubernetes.pod.name': 'p',
  'io.kubernetes.pod.namespace': 'ns',
  'io.kubernetes.pod.uid': 'u1',
};

for (const [what, got, wanted] of [
  ['a sandbox has the pod’s labels too', sandboxLabels(pod), { app: 'web', ...identity }],
  [
    'a container has only its own',
    containerLabels(pod, container),
    { ...identity, 'io.kubernetes.container.name': 'a' },
  ],
  [
    'what a container says of itself; the pod’s annotations are not copied',
    containerAnnotations(pod, { ...container, name: 'nginx' }, 2),
    {
      'io.kubernetes.container.hash': '91edee8f',
      'io.kubernetes.container.restartCount': '2',
      'io.kubernetes.container.terminationMessagePath': '/dev/termination-log',
      'io.kubernetes.container.terminationMessagePolicy': 'File',
      'io.kubernetes.container.preStopHandler': '{"sleep":{"seconds":1}}',
      'io.kubernetes.container.ports': '[{"containerPort":80}]',
      'io.kubernetes.pod.deletionGracePeriod': '3',
      'io.kubernetes.pod.terminationGracePeriod': '7',
    },
  ],
  [
    'what is not there is not said',
    Object.keys(containerAnnotations(podOf(), { name: 'a' }, 0)).sort(),
    ['hash', 'restartCount', 'terminationMessagePath', 'terminationMessagePolicy'].map(
      (name) => `io.kubernetes.container.${name}`,
    ),
  ],
] as const)
  test(`labels: ${what}`, () => assert.deepEqual(got, wanted));

interface Setup {
  of?: Pod;
  /** Logs that earlier runs left. */
  logs?: string[];
  has?: ReturnType<typeof runtimeOf>;
  failing?: 'createContainer' | 'startContainer';
}

/** Starts container `a` over a runtime that writes calls down. */
async function started({ of = podOf(), logs = [], has = runtimeOf([]), failing }: Setup) {
  const root = mkdtempSync('/tmp/skiff-sc-');
  const said: string[] = [];
  const call = (name: string) => {
    said.push(name);
    if (name === failing) throw new Error(`${name} fails`);
  };
  const directory = join(root, 'pods', `ns_${of.metadata.name}_u1`, 'a');
  mkdirSync(directory, { recursive: true });
  for (const log of logs) writeFileSync(join(directory, log), '');
  let config: { attempt: number; logPath: string } | undefined;
  const deps = {
    clock: fakeClock(),
    logger: silentLogger,
    podLogs: join(root, 'pods'),
    containerLogs: join(root, 'containers'),
    images: { ensure: async () => ({ ref: 'r', image: undefined }) },
    actuated: { setActuated: () => {} },
    counters: {
      containerStarted: () => said.push('counted'),
      containerFailed: (_: string, code: string) => said.push(code),
    },
    events: { pod: (_pod: unknown, _type: string, reason: string) => said.push(`event ${reason}`) },
    builder: {
      containerConfig: async (
        _pod: Pod,
        _container: AnyContainer,
        context: { attempt: number; logPath: string },
      ) => {
        config = context;
        return { logPath: context.logPath };
      },
      release: async () => said.push('release'),
    },
    runtime: {
      createContainer: async () => {
        call('createContainer');
        return { containerId: 'c'.repeat(64) };
      },
      startContainer: async () => call('startContainer'),
    },
  } as unknown as RuntimeManagerDeps;
  const request = {
    pod: of,
    container: { name: 'a', image: 'img' },
    kind: 'regular' as const,
    status: has,
    sandbox: { id: 's', ips: [], config: {}, runtimeHandler: '' } as never,
    mounts: new Map(),
    imageVolumes: new Map(),
    signal: new AbortController().signal,
  };
  try {
    const error = await startContainer(deps, request).then(
      () => undefined,
      (reason: unknown) => reason as { reason?: string },
    );
    const links = readdirSync(root).includes('containers') ? readdirSync(join(root, 'containers')) : [];
    const target = links.map((link) => readlinkSync(join(root, 'containers', link)).slice(root.length));
    return { said, error: error?.reason, config, links, target };
  } finally {
    rmSync(root, { recursive: true });
  }
}

for (const [rule, setup, attempt] of [
  ['the first', {}, 0],
  ['one more than the last record says', { has: runtimeOf([record('a exited 1', { restartCount: 4 })]) }, 5],
  ['one more than the newest log, where no record is left', { logs: ['0.log', '11.log', '2.log.gz'] }, 12],
  ['a record counts before a log', { logs: ['9.log'], has: runtimeOf(['a exited 1']) }, 1],
  ['other files are no logs', { logs: ['x.log', 'core'] }, 0],
] as [string, Setup, number][])
  test(`the count of restarts: ${rule}`, async () => {
    const { config } = await started(setup);
    assert.deepEqual([config?.attempt, config?.logPath], [attempt, `a/${attempt}.log`]);
  });

for (const [rule, name, wanted] of [
  ['is found by its pod’s and its own name', 'p', `p_ns_a-${'c'.repeat(64)}.log`],
  ['has a name that a directory can hold', 'x'.repeat(200), `${'x'.repeat(186)}-${'c'.repeat(64)}.log`],
] as const)
  test(`the link to a log ${rule}`, async () => {
    const { links, target } = await started({ of: podOf({}, { name }) });
    assert.deepEqual(links, [wanted]);
    assert.ok((links[0]?.length ?? 0) <= 255);
    assert.deepEqual(target, [`/pods/ns_${name}_u1/a/0.log`]);
  });

for (const [failing, reason, said] of [
  [undefined, undefined, ['createContainer', 'event Created', 'startContainer', 'counted', 'event Started']],
  [
    'createContainer',
    'CreateContainerError',
    ['createContainer', 'release', 'CreateContainerError', 'event Failed'],
  ],
  [
    'startContainer',
    'RunContainerError',
    ['createContainer', 'event Created', 'startContainer', 'RunContainerError', 'event Failed'],
  ],
] as const)
  test(`a start ${failing === undefined ? 'that goes well' : `whose ${failing} fails`}`, async () => {
    const found = await started(failing === undefined ? {} : { failing });
    assert.deepEqual([found.error, found.said], [reason, said]);
    assert.equal(found.links.length, failing === undefined ? 1 : 0);
  });
