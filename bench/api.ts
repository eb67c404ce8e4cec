/**
 * Measures the Kubernetes API, Skiff's own and the way to another's:
 * `node bench/api.ts [--pods N] [--watchers N] [--kubectl PATH] [--only embedded|node|cluster]
 *   [--kubeconfig FILE [--kubelet BINARY] [--audit-log FILE] [--seconds N]]`.
 *
 * - embedded: the API alone, in a process of its own.
 * - node: a whole node with it, and kubectl; as root.
 * - cluster: a node that joins the API server of a kubeconfig (an administrator's), with the original's kubelet beside
 *   it where its binary is named, and calls told apart where the server's audit log is.
 *
 * Prints milliseconds; targets stand beside those that the issue names.
 */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { measureEmbedded } from './api/embedded.ts';
import { type IdleFigures, idleTraffic } from './api/idle-traffic.ts';
import { measureKubectl } from './api/kubectl.ts';
import { statusLatency } from './api/latency.ts';
import { startSkiffNode } from './api/skiff-node.ts';
import { median, quantile, round } from './statistics.ts';

const { values } = parseArgs({
  options: {
    pods: { type: 'string', default: '5000' },
    watchers: { type: 'string', default: '500' },
    kubectl: { type: 'string', default: '/usr/bin/kubectl' },
    only: { type: 'string' },
    kubeconfig: { type: 'string' },
    kubelet: { type: 'string' },
    'audit-log': { type: 'string' },
    seconds: { type: 'string', default: '300' },
  },
});

function tell(what: string, ms: number, target = ''): void {
  console.log(`${what.padEnd(48)} ${round(ms).padStart(9)} ms  ${target}`);
}

function tellLatency(where: string, list: readonly number[]): void {
  tell(`${where}: container's start to its status, median`, median(list), 'target 100');
  tell(`${where}: container's start to its status, worst`, quantile(list, 1));
}

async function wholeNode(): Promise<void> {
  if (process.getuid?.() !== 0) return skipped('a whole node', 'it needs root');
  await using node = await startSkiffNode('bench-node');
  tellLatency('embedded', await statusLatency(node.kubeconfig, { root: node.root, name: 'bench-node' }, 10));
  if (!existsSync(values.kubectl)) return skipped('kubectl', `there is no ${values.kubectl}`);
  const { start, one, many } = await measureKubectl(values.kubectl, node.kubeconfig, 30);
  tell('kubectl alone (version --client)', start);
  tell('kubectl create, 1 pod', one.create);
  tell('kubectl create until a watch shows 1 pod Ready', one.ready);
  tell('kubectl create and wait, 1 pod', one.waited, 'target 400');
  tell('kubectl create, 30 pods', many.create);
  tell('kubectl create until a watch shows 30 pods Ready', many.ready, 'target 2500');
  tell('kubectl create and wait, 30 pods (waits for one after another)', many.waited);
}

async function cluster(): Promise<void> {
  const { kubeconfig, kubelet } = values;
  if (kubeconfig === undefined) return skipped('another API server', 'none is named with --kubeconfig');
  if (kubelet === undefined) skipped("the original's kubelet", 'none is named with --kubelet');
  const options = { kubeconfig, kubelet, auditLog: values['audit-log'], pods: 10 };
  const seconds = Number(values.seconds);
  const figures = await idleTraffic({ ...options, seconds }, async (node, name) => {
    tellLatency('cluster', await statusLatency(kubeconfig, { root: node.root, name }, 10));
  });
  for (const [label, each] of figures) tellTraffic(label, each, seconds / 60);
}

function tellTraffic(
  label: string,
  { up, down, connections, calls, refused }: IdleFigures,
  minutes: number,
): void {
  const bytes = `${round(up / minutes)} bytes up, ${round(down / minutes)} down a minute`;
  console.log(`idle with 10 pods, ${label}: ${bytes}, ${connections} connections in all`);
  if (calls === undefined) return;
  const total = [...calls.values()].reduce((sum, each) => sum + each, 0);
  const list = [...calls].map(([call, count]) => `${count} ${call}`).join(', ');
  console.log(`  ${round(total / minutes)} calls a minute: ${list}; ${refused} refused since it joined`);
}

function skipped(what: string, why: string): void {
  console.log(`${what}: skipped, ${why}`);
}

const parts: Record<string, () => Promise<void>> = {
  embedded: () => measureEmbedded({ pods: Number(values.pods), watchers: Number(values.watchers) }),
  node: wholeNode,
  cluster,
};
for (const [name, part] of Object.entries(parts))
  if (values.only === undefined || values.only === name) await part();
