/** What an idle node asks of a real API server, Skiff's and, where its binary is here, the original's kubelet. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { Node, Pod } from '#contracts/kubernetes/types.ts';
import { freePort } from '#foundation/base/free-port.ts';
import { startSkiff } from '../peers/skiff.ts';
import { type Counts, startProxy } from './counting-proxy.ts';
import { joinCluster } from './join.ts';
import { image, loadImage, type SkiffNode, startSkiffNode } from './skiff-node.ts';

const pods = '/api/v1/namespaces/default/pods';

export interface IdleOptions {
  /** The administrator's kubeconfig of a cluster that signs certificates of nodes. */
  kubeconfig: string;
  /** The original's binary. */
  kubelet?: string;
  /** The audit log of the API server, where it can be read: it tells calls apart. */
  auditLog?: string;
  pods: number;
  seconds: number;
}

export interface IdleFigures extends Counts {
  /** Calls by verb and resource; undefined without an audit log. */
  calls: Map<string, number> | undefined;
  /** Calls that were refused (401, 403) since the node joined. */
  refused: number | undefined;
}

/** Runs both side by side for as long. @param during is done with Skiff's node before it becomes idle. */
export async function idleTraffic(
  options: IdleOptions,
  during: (node: SkiffNode, name: string) => Promise<void>,
): Promise<Map<string, IdleFigures>> {
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync('/tmp/skiff-bt-');
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const { server } = loadKubeconfig(options.kubeconfig);
  const began = Date.now();
  const nodes = new Map<string, { name: string; proxy: Awaited<ReturnType<typeof startProxy>> }>();
  const add = async (label: string) => {
    const name = `bench-${label}-${process.pid}`;
    const proxy = stack.use(await startProxy(server));
    stack.defer(() => forget(options.kubeconfig, name));
    nodes.set(label, { name, proxy });
    return { name, kubeconfig: await joinCluster(options.kubeconfig, proxy.url, directory, name) };
  };
  const own = await add('skiff');
  const node = stack.use(await startSkiffNode(own.name, '--kubeconfig', own.kubeconfig));
  if (options.kubelet !== undefined) {
    const other = await add('original');
    const log = join(directory, 'original.log');
    stack.use(await startOriginal({ ...other, binary: options.kubelet, log }));
  }
  try {
    for (const { name } of nodes.values()) await fill(options.kubeconfig, name, options.pods);
  } catch (error) {
    if (options.kubelet !== undefined) console.error(lastLines(join(directory, 'original.log'), 20));
    throw error;
  }
  await during(node, own.name);
  // Statuses, events and the first reports are over then.
  await sleep(60_000);
  const from = Date.now();
  const before = new Map([...nodes].map(([label, { proxy }]) => [label, proxy.counts()]));
  await sleep(options.seconds * 1000);
  const figures = new Map<string, IdleFigures>();
  for (const [label, { name, proxy }] of nodes) {
    const [now, then] = [proxy.counts(), before.get(label) ?? { up: 0, down: 0, connections: 0 }];
    figures.set(label, {
      up: now.up - then.up,
      down: now.down - then.down,
      connections: now.connections - then.connections,
      calls: callsOf(options.auditLog, name, from),
      refused: refusedOf(options.auditLog, name, began),
    });
  }
  return figures;
}

/** Pods with a configMap, bound to a node. @returns when all are ready. */
async function fill(kubeconfig: string, nodeName: string, count: number): Promise<void> {
  await using client = openApi(loadKubeconfig(kubeconfig));
  const maps = '/api/v1/namespaces/default/configmaps';
  await client.create(maps, { metadata: { name: nodeName }, data: { a: 'b' } });
  for (let index = 0; index < count; index += 1)
    await client.create(pods, {
      metadata: { name: `${nodeName}-${index}`, labels: { bench: nodeName } },
      spec: {
        nodeName,
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 0,
        tolerations: [{ operator: 'Exists' }],
        volumes: [{ name: 'v', configMap: { name: nodeName } }],
        containers: [
          {
            name: 'c',
            image,
            command: ['sleep', '100000'],
            volumeMounts: [{ name: 'v', mountPath: '/v' }],
          },
        ],
      },
    });
  for (const end = Date.now() + 180_000; ; await sleep(500)) {
    const query = { labelSelector: `bench=${nodeName}` };
    const { items } = await client.get<{ items: Pod[] }>(pods, { query });
    const ready = items.filter(({ status }) =>
      status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True'),
    );
    if (ready.length === count) return;
    if (Date.now() > end) throw new Error(`only ${ready.length} of ${count} pods of ${nodeName} are ready`);
  }
}

/** Takes everything of a node out of the cluster, its pods by force. */
async function forget(kubeconfig: string, nodeName: string): Promise<void> {
  await using client = openApi(loadKubeconfig(kubeconfig));
  const query = { fieldSelector: `spec.nodeName=${nodeName}` };
  const { items } = await client.get<{ items: Pod[] }>('/api/v1/pods', { query });
  const gone = () => {};
  for (const { metadata } of items)
    await client
      .delete(`/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`, { gracePeriodSeconds: 0 })
      .catch(gone);
  await client.delete<Node>(`/api/v1/nodes/${nodeName}`).catch(gone);
  await client.delete(`/api/v1/namespaces/default/configmaps/${nodeName}`).catch(gone);
}

function lastLines(path: string, count: number): string {
  return readFileSync(path, 'utf8').trim().split('\n').slice(-count).join('\n');
}

interface Original {
  binary: string;
  kubeconfig: string;
  name: string;
  /** Where its output goes. */
  log: string;
}

/** The original kubelet over a CRI server of Skiff's own. */
async function startOriginal({
  binary,
  kubeconfig,
  name: nodeName,
  log,
}: Original): Promise<AsyncDisposable> {
  // The CRI server alone: a kubelet of its own would end pods that it does not know.
  const below = await startSkiff();
  await loadImage(join(below.directory, 'root'));
  const root = join(below.directory, 'original');
  mkdirSync(root);
  const config = join(root, 'config.yaml');
  const [port, healthzPort] = [await freePort('127.0.0.1'), await freePort('127.0.0.1')];
  writeFileSync(
    config,
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      containerRuntimeEndpoint: below.endpoint,
      podLogsDir: join(root, 'logs'),
      cgroupDriver: 'cgroupfs',
      cgroupsPerQOS: false,
      enforceNodeAllocatable: [],
      evictionHard: {},
      clusterDNS: ['192.0.2.53'],
      failSwapOn: false,
      failCgroupV1: false,
      address: '127.0.0.1',
      port,
      healthzPort,
      authorization: { mode: 'AlwaysAllow' },
    }),
  );
  const places = ['--root-dir', root, '--cert-dir', join(root, 'pki')];
  const args = [...places, '--config', config, '--kubeconfig', kubeconfig, '--hostname-override', nodeName];
  const output = openSync(log, 'w');
  const child = spawn(binary, args, { stdio: ['ignore', output, output] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
      await below[Symbol.asyncDispose]();
    },
  };
}

interface AuditEvent {
  stage: string;
  verb: string;
  stageTimestamp: string;
  user: { username: string };
  objectRef?: { resource?: string; subresource?: string };
  responseStatus?: { code?: number };
}

function eventsOf(path: string, nodeName: string, from: number): AuditEvent[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.includes(`"system:node:${nodeName}"`))
    .map((line) => JSON.parse(line) as AuditEvent)
    .filter(({ stage, stageTimestamp }) => stage !== 'ResponseStarted' && Date.parse(stageTimestamp) >= from);
}

function callsOf(path: string | undefined, nodeName: string, from: number): Map<string, number> | undefined {
  if (path === undefined) return undefined;
  const counts = new Map<string, number>();
  for (const { verb, objectRef } of eventsOf(path, nodeName, from)) {
    const resource = [objectRef?.resource, objectRef?.subresource].filter((each) => each !== undefined);
    const name = `${verb} ${resource.join('/')}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

function refusedOf(path: string | undefined, nodeName: string, from: number): number | undefined {
  if (path === undefined) return undefined;
  const codes = eventsOf(path, nodeName, from).map(({ responseStatus }) => responseStatus?.code ?? 0);
  return codes.filter((code) => code === 401 || code === 403).length;
}
