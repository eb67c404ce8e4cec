import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import { type FakeKubelet, startFakeKubelet } from './testing/kubelet.ts';
import { clientFor, registerNode, reportRunning } from './testing/node.ts';
import { startTestApi, type TestApi } from './testing/start.ts';

const run = promisify(execFile);
const skip = existsSync('/usr/bin/kubectl') ? false : 'there is no kubectl here';
const manifest = `apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: c, image: "x:1", ports: [{containerPort: 80}], resources: {requests: {cpu: 100m}}}]
`;

let folder = '';
let api: TestApi;
let kubelet: FakeKubelet;
let node: ApiClient;
let echo: Server;

before(async () => {
  folder = mkdtempSync('/tmp/skiff-');
  echo = createServer((socket) => void socket.pipe(socket).on('error', () => {}));
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  kubelet = await startFakeKubelet(join(folder, 'kubelet'), (echo.address() as AddressInfo).port);
  api = await startTestApi({ url: kubelet.url });
  node = clientFor(api.nodeKubeconfigPath);
  await registerNode(node, 'n1');
});
after(async () => {
  await node.close();
  await api.end();
  await kubelet.stop();
  echo.close();
  rmSync(folder, { recursive: true });
});

/** Runs kubectl as the administrator. */
function kubectl(...args: string[]): Promise<string> {
  return kubectlWith({}, ...args);
}

async function kubectlWith(more: Record<string, string>, ...args: string[]): Promise<string> {
  const env = { ...process.env, KUBECONFIG: api.adminKubeconfigPath, HOME: folder, ...more };
  const { stdout } = await run('kubectl', args, { env, timeout: 30_000 });
  return stdout.trim();
}

function withInput(input: string, ...args: string[]): Promise<{ code: number; output: string }> {
  const env = { ...process.env, KUBECONFIG: api.adminKubeconfigPath, HOME: folder };
  const child = spawn('kubectl', args, { env });
  let output = '';
  child.stdout.on('data', (part: Buffer) => (output += part.toString()));
  child.stderr.on('data', (part: Buffer) => (output += part.toString()));
  child.stdin.end(input);
  return new Promise((resolve) => child.once('close', (code) => resolve({ code: code ?? -1, output })));
}

/** `kubectl wait` learned jsonpath only in 1.23. */
async function untilOnNode(pod: string): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1)
    if ((await kubectl('get', 'pod', pod, '-o', 'jsonpath={.spec.nodeName}')) === 'n1') return;
  assert.fail(`${pod} is on no node`);
}

test('a pod from a manifest to its end', { skip }, async () => {
  const file = join(folder, 'pod.yaml');
  writeFileSync(file, manifest);
  assert.equal(await kubectl('apply', '-f', file), 'pod/web created');
  assert.equal(await kubectl('apply', '-f', file), 'pod/web unchanged');
  await untilOnNode('web');
  await reportRunning(node, 'default', 'web', ['c']);
  await kubectl('wait', '--for=condition=Ready', 'pod/web', '--timeout=5s');
  assert.match(await kubectl('get', 'pods', '-o', 'wide'), /web +1\/1 +Running +0 +\S+ +10\.88\.0\.9 +n1/);
  assert.match(
    await kubectl('describe', 'pod', 'web'),
    /Scheduled .* Successfully assigned default\/web to n1/,
  );
  assert.match(await kubectl('get', 'events'), /Scheduled/);
  assert.equal(await kubectl('get', 'pod', 'web', '-o', 'jsonpath={.status.phase}'), 'Running');
  assert.equal(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'name'), 'pod/web');
  assert.equal(
    await kubectl(
      'get',
      'pods',
      '--field-selector',
      'status.phase=Running',
      '-o',
      'custom-columns=N:.metadata.name',
      '--no-headers',
    ),
    'web',
  );
});

test('label, annotate, patch, edit and apply change it', { skip }, async () => {
  assert.match(await kubectl('label', 'pod', 'web', 'tier=front'), /labeled/);
  assert.match(await kubectl('annotate', 'pod', 'web', 'note=x'), /annotated/);
  assert.match(await kubectl('patch', 'pod', 'web', '-p', '{"metadata":{"labels":{"z":"1"}}}'), /patched/);
  assert.match(
    await kubectl(
      'patch',
      'pod',
      'web',
      '--type=json',
      '-p',
      '[{"op":"remove","path":"/metadata/labels/z"}]',
    ),
    /patched/,
  );
  assert.match(await kubectl('set', 'image', 'pod/web', 'c=x:2'), /image updated/);
  const file = join(folder, 'pod.yaml');
  writeFileSync(file, manifest.replace('x:1', 'x:3'));
  assert.equal(await kubectl('apply', '-f', file), 'pod/web configured');
  await assert.rejects(
    kubectl('apply', '--server-side', '-f', file.replace('pod.yaml', 'none.yaml')),
    /does not exist/,
  );
  writeFileSync(file, manifest.replace('x:1', 'x:4'));
  await assert.rejects(
    kubectl('apply', '--server-side', '-f', file),
    /conflict with "kubectl-client-side-apply"/,
  );
  assert.match(
    await kubectl('apply', '--server-side', '--force-conflicts', '-f', file),
    /serverside-applied/,
  );
  await assert.rejects(
    kubectl('patch', 'pod', 'web', '-p', '{"spec":{"hostNetwork":true}}'),
    /pod updates may not change fields/,
  );
});

test('logs, exec, cp-like input, exit codes and port-forward reach the kubelet', { skip }, async () => {
  assert.equal(await kubectl('logs', 'web', '--tail=2', '--timestamps'), 'first line\nsecond line');
  assert.ok(
    kubelet.seen.some(
      (path) =>
        /^\/containerLogs\/default\/web\/c\?.*timestamps=true/.test(path) && path.includes('tailLines=2'),
    ),
  );
  assert.ok(kubelet.clients.has('kube-apiserver-kubelet-client'));
  const echoed = await withInput('hello', 'exec', '-i', 'web', '--', 'cat', '-n');
  assert.deepEqual(echoed, { code: 0, output: 'ran cat -n\nhello' });
  const failing = await withInput('', 'exec', '-i', 'web', '--', 'exit', '7');
  assert.equal(failing.code, 7);
  await assert.rejects(
    kubectl('exec', 'web', '-c', 'none', '--', 'true'),
    /container none (is not valid|not found)/,
  );
  const forward = spawn('kubectl', ['port-forward', 'pod/web', ':80'], {
    env: { ...process.env, KUBECONFIG: api.adminKubeconfigPath },
  });
  try {
    const line = await new Promise<string>((resolve) =>
      forward.stdout.once('data', (part: Buffer) => resolve(part.toString())),
    );
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(line)?.[1]);
    assert.equal(await echoThrough(port, 'through the API'), 'through the API');
  } finally {
    forward.kill();
  }
});

function echoThrough(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.once('data', (part) => {
      resolve(part.toString());
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

test('top, cordon, debug, drain', { skip }, async () => {
  assert.match(await kubectl('top', 'node'), /n1 +250m +6% +512Mi +6%/);
  assert.match(await kubectl('top', 'pod'), /web +5m +8Mi/);
  await kubectl('debug', 'web', '--image=tools:1', '--target=c', '-c', 'probe');
  assert.equal(
    await kubectl('get', 'pod', 'web', '-o', 'jsonpath={.spec.ephemeralContainers[0].name}'),
    'probe',
  );
  assert.match(await kubectl('cordon', 'n1'), /cordoned/);
  assert.match(await kubectl('get', 'nodes'), /n1 +Ready,SchedulingDisabled/);
  await kubectl('run', 'waiting', '--image=x:1');
  await kubectl('wait', '--for=condition=PodScheduled=false', 'pod/waiting', '--timeout=5s');
  assert.match(
    await kubectl('get', 'pod', 'waiting', '-o', 'jsonpath={.status.conditions[0].message}'),
    /node\(s\) were unschedulable/,
  );
  const drained = kubectl('drain', 'n1', '--force', '--timeout=20s', '--grace-period=1');
  await endPods();
  // Old ones say that the node was deleted when they mean drained.
  assert.match(await drained, /node\/n1 (drained|deleted)/);
  assert.match(await kubectl('get', 'nodes'), /n1 +Ready,SchedulingDisabled/);
  assert.match(await kubectl('uncordon', 'n1'), /uncordoned/);
  await untilOnNode('waiting');
});

/** Ends pods that are being deleted, as a kubelet does. */
async function endPods(): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const { items } = await node.get<{
      items: { metadata: { name: string; uid: string; namespace: string; deletionTimestamp?: string } }[];
    }>('/api/v1/pods?fieldSelector=spec.nodeName%3Dn1');
    const going = items.filter((each) => each.metadata.deletionTimestamp !== undefined);
    for (const { metadata } of going)
      await node.delete(`/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`, {
        gracePeriodSeconds: 0,
        preconditions: { uid: metadata.uid },
      });
    if (going.length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('edit, replace, diff, kustomize, taint, certificate, proxy', { skip }, async () => {
  const tool = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o755 });
    return join(folder, name);
  };
  const map = tool('map.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m1}\ndata: {a: one}\n');
  assert.match(await kubectl('apply', '-f', map), /created/);
  const editor = tool('editor', '#!/bin/sh\nsed -i s/one/two/ "$1"\n');
  assert.match(await kubectlWith({ KUBE_EDITOR: editor }, 'edit', 'cm', 'm1'), /edited/);
  assert.equal(await kubectl('get', 'cm', 'm1', '-o', 'jsonpath={.data.a}'), 'two');
  await assert.rejects(kubectl('diff', '-f', map), { code: 1, stdout: /- {2}a: two\n\+ {2}a: one/ });
  assert.match(await kubectl('replace', '-f', map), /replaced/);
  assert.match(await kubectl('replace', '--force', '-f', map), /deleted[\s\S]*replaced/);
  tool('kustomization.yaml', 'resources: [map.yaml]\nnamePrefix: k-\n');
  assert.match(await kubectl('apply', '-k', folder), /configmap\/k-m1 created/);
  assert.match(await kubectl('delete', '-k', folder), /deleted/);
  assert.match(await kubectl('taint', 'node', 'n1', 'k=v:NoSchedule'), /tainted/);
  assert.match(await kubectl('taint', 'node', 'n1', 'k-'), /untainted/);
  assert.match(await kubectl('create', 'token', 'default').catch(String), /^ey|unknown|Error/);
  assert.match(await kubectl('get', '--raw', '/api/v1/nodes/n1/proxy/stats/summary'), /"nodeName":"n1"/);
  await assert.rejects(kubectl('create', 'role', 'r', '--verb=get', '--resource=pods'), /could not find/);
  await assert.rejects(kubectl('create', 'quota', 'q', '--hard=pods=1'), /one node has no tenants/);
});

test('create makes every kind, explain answers, and unknown fields are refused', {
  skip,
}, async () => {
  // kubectl's own bodies for these are protobuf.
  const made = async (...words: string[]) => assert.match(await kubectl('create', ...words), /created/);
  await made('configmap', 'm', '--from-literal=a=b');
  await made('secret', 'generic', 's', '--from-literal=a=b');
  await made('serviceaccount', 'bob');
  await made('service', 'clusterip', 'svc', '--tcp=80:8080');
  await made('priorityclass', 'high', '--value=5');
  await made('namespace', 'team');
  assert.equal(await kubectl('get', 'secret', 's', '-o', 'jsonpath={.data.a}'), 'Yg==');
  assert.equal(await kubectl('auth', 'can-i', 'delete', 'pods'), 'yes');
  await assert.rejects(kubectl('auth', 'can-i', 'delete', 'pods', '--as=nobody'), /no/);
  assert.match(
    await kubectl('get', 'cm,secret,sa,svc,pc,ns'),
    /priorityclass\.scheduling\.k8s\.io\/high +5 +false/,
  );
  assert.match(await kubectl('explain', 'pod.spec.containers.image'), /FIELD: +image <string>/);
  assert.match(await kubectl('api-resources'), /leases +coordination\.k8s\.io\/v1 +true +Lease/);
  const bad = await withInput(
    manifest.replace('image:', 'imag:').replace('name: web', 'name: bad'),
    'create',
    '-f',
    '-',
  );
  assert.equal(bad.code, 1);
  assert.match(bad.output, /unknown field "(spec\.containers\[0\]\.)?imag"/);
  assert.match(await kubectl('delete', 'namespace', 'team', '--timeout=20s'), /deleted/);
  assert.match(await kubectl('delete', 'cm', 'm'), /deleted/);
});
