/** Every verb that the kubectl of this machine has: what comes of it on a node with the embedded API. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { type FakeKubelet, startFakeKubelet } from './testing/kubelet.ts';
import { clientFor, registerNode, reportRunning } from './testing/node.ts';
import { startTestApi, type TestApi } from './testing/start.ts';

const skip = existsSync('/usr/bin/kubectl') ? false : 'there is no kubectl here';
const pods = '/api/v1/namespaces/default/pods';
const manifest = `apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "x:1", ports: [{containerPort: 80}]}]}
`;

let folder = '';
let api: TestApi;
let kubelet: FakeKubelet;
let node: ApiClient;

before(async () => {
  folder = mkdtempSync('/tmp/skiff-');
  kubelet = await startFakeKubelet(join(folder, 'kubelet'), 1);
  api = await startTestApi({ url: kubelet.url });
  node = clientFor(api.nodeKubeconfigPath);
  await registerNode(node, 'n1');
  writeFileSync(join(folder, 'pod.yaml'), manifest);
  writeFileSync(join(folder, 'file'), 'text');
  writeFileSync(join(folder, 'editor'), '#!/bin/sh\nsed -i s/one/two/ "$1"\n', { mode: 0o755 });
  const map = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m1}\ndata: {a: one}\n';
  writeFileSync(join(folder, 'map.yaml'), map);
  mkdirSync(join(folder, 'k'));
  writeFileSync(join(folder, 'k/map.yaml'), map);
  writeFileSync(join(folder, 'k/kustomization.yaml'), 'resources: [map.yaml]\nnamePrefix: k-\n');
});
after(async () => {
  await node.close();
  await api.end();
  await kubelet.stop();
  rmSync(folder, { recursive: true });
});

function environment() {
  const editor = join(folder, 'editor');
  return { ...process.env, KUBECONFIG: api.adminKubeconfigPath, HOME: folder, KUBE_EDITOR: editor };
}

/** What a command says, to both outputs, with its exit code at the end. */
function kubectl(args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const options = { env: environment(), cwd: folder, timeout: 60_000, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile('kubectl', args, options, (error, stdout, stderr) =>
      resolve(`${stdout}${stderr}exit ${error === null ? 0 : error.code}`),
    );
    child.stdin?.end();
  });
}

/** What a command that goes on says first. */
async function firstWords(args: readonly string[]): Promise<string> {
  const child = spawn('kubectl', args, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    return await new Promise<string>((resolve) => {
      child.stdout.once('data', (part: Buffer) => resolve(part.toString()));
      child.once('exit', (code) => resolve(`exit ${code}`));
    });
  } finally {
    child.kill('SIGKILL');
  }
}

type Row = [verb: string, args: string, expected: RegExp];

/** In this order: later ones need what earlier ones made. `exit 0` is at the end of what went well. */
const rows: Row[] = [
  ['apply', 'apply -f pod.yaml', /pod\/web created\nexit 0/],
  ['create', 'create -f map.yaml', /created\nexit 0/],
  ['get', 'get pods,nodes,cm -o wide', /pod\/web[\s\S]*node\/n1[\s\S]*configmap\/m1[\s\S]*exit 0/],
  ['get', 'get --raw /healthz', /^ok\n?exit 0/],
  ['get', 'get --raw /api/v1/namespaces/default', /"kind":"Namespace"[\s\S]*exit 0/],
  ['describe', 'describe node n1', /Name: +n1[\s\S]*exit 0/],
  ['wait', 'wait --for=condition=Ready pod/web --timeout=30s', /condition met\nexit 0/],
  ['logs', 'logs web --tail=1', /first line[\s\S]*exit 0/],
  ['exec', 'exec web -- ls', /ran ls\nexit 0/],
  ['attach', 'attach web', /exit 0/],
  ['cp', 'cp file web:/tmp/file', /exit 0/],
  ['top', 'top pod', /web[\s\S]*exit 0/],
  ['label', 'label pod web tier=front', /labeled\nexit 0/],
  ['annotate', 'annotate pod web note=x', /annotated\nexit 0/],
  ['patch', 'patch pod web -p {"metadata":{"labels":{"z":"1"}}}', /patched\nexit 0/],
  ['set', 'set image pod/web c=x:2', /image updated\nexit 0/],
  ['edit', 'edit cm m1', /edited\nexit 0/],
  ['diff', 'diff -f map.yaml', /two[\s\S]*one[\s\S]*exit 1/],
  ['replace', 'replace -f map.yaml', /replaced\nexit 0/],
  ['kustomize', 'kustomize k', /name: k-m1[\s\S]*exit 0/],
  ['run', 'run extra --image=x:1', /pod\/extra created\nexit 0/],
  ['expose', 'expose pod web --port=80 --name=ex', /service\/ex exposed\nexit 0/],
  ['debug', 'debug web --image=tools:1 --target=c -c probe', /exit 0/],
  ['cordon', 'cordon n1', /cordoned\nexit 0/],
  ['uncordon', 'uncordon n1', /uncordoned\nexit 0/],
  ['taint', 'taint node n1 k=v:NoSchedule', /tainted\nexit 0/],
  ['taint', 'taint node n1 k-', /untainted\nexit 0/],
  ['drain', 'drain n1 --force --dry-run=client', /drained|exit 0/],
  ['certificate', 'certificate approve none', /"none" not found[\s\S]*exit 1/],
  ['auth', 'auth can-i create pods', /yes\nexit 0/],
  ['auth', 'auth can-i --list', /\*\.\*[\s\S]*exit 0/],
  ['explain', 'explain pod.spec.containers.image', /image <string>[\s\S]*exit 0/],
  ['events', 'events', /Scheduled[\s\S]*exit 0/],
  ['api-resources', 'api-resources', /pods +po[\s\S]*exit 0/],
  ['api-versions', 'api-versions', /^v1$[\s\S]*exit 0/m],
  ['cluster-info', 'cluster-info', /is running at[\s\S]*exit 0/],
  ['cluster-info', 'cluster-info dump', /one node does not run v1 ReplicationController[\s\S]*exit 1/],
  ['config', 'config view --minify', /server: https:\/\/127\.0\.0\.1[\s\S]*exit 0/],
  ['config', 'config current-context', /skiff\nexit 0/],
  ['version', 'version', /Server Version[\s\S]*exit 0/],
  ['completion', 'completion bash', /kubectl[\s\S]*exit 0/],
  ['options', 'options', /--kubeconfig[\s\S]*exit 0/],
  ['alpha', 'alpha --help', /exit 0/],
  ['plugin', 'plugin list', /exit [01]/],
  // What a node does not run: the reason is told, or that there is no such resource.
  ['scale', 'scale deployment d --replicas=2', /resource type "deployment"[\s\S]*exit 1/],
  ['autoscale', 'autoscale deployment d --max=2', /resource type "deployment"[\s\S]*exit 1/],
  ['rollout', 'rollout status deployment/d', /resource type "deployment"[\s\S]*exit 1/],
  ['create', 'create deployment d --image=x', /write a Pod[\s\S]*exit 1/],
  ['create', 'create job j --image=x', /write a Pod with restartPolicy[\s\S]*exit 1/],
  ['create', 'create role r --verb=get --resource=pods', /access is by certificate[\s\S]*exit 1/],
  ['create', 'create clusterrole r --verb=get --resource=pods', /access is by certificate[\s\S]*exit 1/],
  ['create', 'create rolebinding b --clusterrole=r --user=u', /access is by certificate[\s\S]*exit 1/],
  ['create', 'create quota q --hard=pods=1', /one node has no tenants[\s\S]*exit 1/],
  ['create', 'create ingress i --rule=a/b=c:80', /no ingress controller[\s\S]*exit 1/],
  ['delete', 'delete cm m1', /deleted[\s\S]*exit 0/],
  ['delete', 'delete pod web --grace-period=0 --force', /deleted[\s\S]*exit 0/],
];

/** Tried here by themselves, since they go on. */
const lasting = ['port-forward', 'proxy'];

/** The verbs that kubectl's help names: after headings, two spaces before each. */
async function verbsOfKubectl(): Promise<string[]> {
  const help = await kubectl(['--help']);
  return [...help.matchAll(/^ {2}([a-z][a-z-]+) {2,}/gm)].map(([, verb = '']) => verb);
}

/** Makes the pod ready once it is on the node. */
async function readyPod(): Promise<void> {
  // A node may not see pods of others, or of nobody.
  await using admin = clientFor(api.adminKubeconfigPath);
  for (const end = Date.now() + 30_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const { spec, status } = await admin.get<Pod>(`${pods}/web`);
    if (spec.nodeName === 'n1') break;
    assert.ok(Date.now() < end, `web is on no node: ${JSON.stringify(status)}`);
  }
  await reportRunning(node, 'default', 'web', ['c']);
}

test('every verb that kubectl has', { skip }, async (t) => {
  const verbs = await verbsOfKubectl();
  assert.ok(verbs.length > 30, `only ${verbs.join(' ')}`);
  for (const [verb, text, expected] of rows) {
    // Newer and older ones have other verbs besides.
    const known = verbs.includes(verb) || ['options', 'kustomize'].includes(verb);
    if (!known) continue;
    await t.test(text, async () => assert.match(await kubectl(text.split(' ')), expected));
    if (text === 'apply -f pod.yaml') await readyPod();
  }
  await t.test('proxy', async () =>
    assert.match(await firstWords(['proxy', '--port=0']), /Starting to serve on 127\.0\.0\.1:\d+/),
  );
  await t.test('port-forward', async () => {
    await kubectl(['apply', '-f', 'pod.yaml']);
    await readyPod();
    assert.match(
      await firstWords(['port-forward', 'pod/web', ':80']),
      /Forwarding from 127\.0\.0\.1:\d+ -> 80/,
    );
  });
  const tried = new Set([...rows.map(([verb]) => verb), ...lasting, 'kubectl', 'help', 'convert', 'kuberc']);
  assert.deepEqual(
    verbs.filter((verb) => !tried.has(verb)),
    [],
    'verbs that nothing tries',
  );
});
