import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Container, Pod, Service } from '#contracts/kubernetes/types.ts';
import { formatMap, quote } from './downward.ts';
import { parseEnvFile } from './env-file.ts';
import { type EnvironmentDeps, environmentOf } from './environment.ts';
import { expand, expandAll } from './expansion.ts';

const known = (name: string) => ({ A: 'x', EMPTY: '', 'a b': 'odd' })[name];

for (const [text, wanted] of [
  ['$(A)', 'x'],
  ['-$(A)-$(A)', '-x-x'],
  ['$(NONE)', '$(NONE)'],
  ['$$(A)', '$(A)'],
  ['$$$(A)', '$x'],
  ['$$$$(A)', '$$(A)'],
  ['$(EMPTY)|', '|'],
  ['$A', '$A'],
  ['$', '$'],
  ['$(', '$('],
  ['$(A', '$(A'],
  ['$((A))', '$((A))'],
  ['$(a b)', 'odd'],
  ['a$b$$c', 'a$b$c'],
] as const)
  test(`expansion of ${text} is ${wanted}`, () => assert.equal(expand(text, known), wanted));

test('strict expansion names what is missing', () => {
  assert.deepEqual(expandAll('$(A)/$(B)', known), { missing: ['B'] });
  assert.deepEqual(expandAll('$(A)/c', known), { text: 'x/c' });
});

test('the quoting of maps is that of Go', () => {
  assert.equal(quote('a"b\\c\n\t\x01é\u200b'), '"a\\"b\\\\c\\n\\t\\x01é\\u200b"');
  assert.equal(formatMap({ b: '2', a: 'x y' }), 'a="x y"\nb="2"');
});

const services: Service[] = [
  {
    metadata: { name: 'kubernetes', namespace: 'default' },
    spec: { clusterIP: '10.0.0.1', ports: [{ name: 'https', port: 443, protocol: 'TCP' }] },
  },
  {
    metadata: { name: 'redis-main', namespace: 'app' },
    spec: { clusterIP: '10.0.0.9', ports: [{ port: 6379 }, { name: 'adm', port: 81, protocol: 'UDP' }] },
  },
  { metadata: { name: 'headless', namespace: 'app' }, spec: { clusterIP: 'None', ports: [{ port: 1 }] } },
];

const deps: EnvironmentDeps = {
  objects: {
    configMap: async (_namespace, name) =>
      name === 'cfg'
        ? { metadata: { name }, data: { KEY: 'from config', 'bad=key': 'x' }, binaryData: { BIN: 'AAE=' } }
        : undefined,
    secret: async (_namespace, name) =>
      name === 'sec'
        ? { metadata: { name }, data: { PASS: Buffer.from('pw').toString('base64') } }
        : undefined,
  },
  services: () => services,
  allocatable: () => ({ milliCpu: 4000, memory: 8 * 2 ** 30, ephemeralStorage: 100 }),
};

function podWith(container: Partial<Container>, spec: Partial<Pod['spec']> = {}): Pod {
  return {
    metadata: { name: 'p', namespace: 'app', uid: 'u1', labels: { 'a/b': 'L' }, annotations: { note: 'N' } },
    spec: { nodeName: 'n1', ...spec, containers: [{ name: 'c', image: 'i', ...container }] },
  };
}

async function build(container: Partial<Container>, spec: Partial<Pod['spec']> = {}, mountsAt?: string) {
  const pod = podWith(container, spec);
  const mounts = new Map(mountsAt === undefined ? [] : [['v', { hostPath: mountsAt, readOnly: false }]]);
  const addresses = { podIps: ['10.1.0.5', 'fd00::5'], hostIps: ['192.0.2.1'] };
  const [first] = pod.spec.containers;
  assert.ok(first);
  return environmentOf(deps, pod, first, { ...addresses, mounts });
}

test('env follows envFrom, refers backwards, and the services fill the gaps', async () => {
  const { variables, invalidKeys } = await build({
    envFrom: [{ configMapRef: { name: 'cfg' } }, { prefix: 'S_', secretRef: { name: 'sec' } }],
    env: [
      { name: 'FIRST', value: '$(KEY)!' },
      { name: 'KEY', value: 'own' },
      { name: 'SECOND', value: '$(FIRST) $(KEY) $(LATER) $(REDIS_MAIN_SERVICE_HOST)' },
      { name: 'LATER', value: 'l' },
      { name: 'REDIS_MAIN_PORT', value: 'mine' },
      { name: 'RAW', valueFrom: { secretKeyRef: { name: 'sec', key: 'PASS' } } },
    ],
  });
  assert.equal(variables.get('FIRST'), 'from config!');
  assert.equal(variables.get('KEY'), 'own');
  assert.equal(variables.get('SECOND'), 'from config! own $(LATER) 10.0.0.9');
  assert.equal(variables.get('S_PASS'), 'pw');
  assert.equal(variables.get('RAW'), 'pw');
  assert.equal(variables.get('REDIS_MAIN_PORT'), 'mine');
  assert.equal(variables.has('BIN'), false);
  assert.deepEqual(invalidKeys, ['bad=key']);
});

test('service variables have the names of old', async () => {
  const { variables } = await build({});
  assert.equal(variables.get('KUBERNETES_SERVICE_HOST'), '10.0.0.1');
  assert.equal(variables.get('KUBERNETES_SERVICE_PORT_HTTPS'), '443');
  assert.equal(variables.get('KUBERNETES_PORT'), 'tcp://10.0.0.1:443');
  assert.equal(variables.get('REDIS_MAIN_SERVICE_PORT'), '6379');
  assert.equal(variables.get('REDIS_MAIN_PORT_81_UDP_ADDR'), '10.0.0.9');
  assert.equal(variables.get('REDIS_MAIN_PORT_6379_TCP_PROTO'), 'tcp');
  assert.equal(variables.has('HEADLESS_SERVICE_HOST'), false);
  const without = await build({}, { enableServiceLinks: false });
  assert.equal(without.variables.has('REDIS_MAIN_SERVICE_PORT'), false);
  assert.equal(without.variables.get('KUBERNETES_SERVICE_HOST'), '10.0.0.1');
});

for (const [fieldPath, wanted] of Object.entries({
  'metadata.name': 'p',
  'metadata.namespace': 'app',
  'metadata.uid': 'u1',
  "metadata.labels['a/b']": 'L',
  "metadata.annotations['note']": 'N',
  "metadata.labels['none']": '',
  'spec.nodeName': 'n1',
  'status.podIP': '10.1.0.5',
  'status.podIPs': '10.1.0.5,fd00::5',
  'status.hostIP': '192.0.2.1',
}))
  test(`field ${fieldPath} is ${wanted}`, async () => {
    const { variables } = await build({ env: [{ name: 'F', valueFrom: { fieldRef: { fieldPath } } }] });
    assert.equal(variables.get('F'), wanted);
  });

test('whole maps of labels are for volumes only', async () => {
  const env = [{ name: 'F', valueFrom: { fieldRef: { fieldPath: 'metadata.labels' } } }];
  await assert.rejects(build({ env }), /unsupported fieldPath/);
});

for (const [resource, divisor, wanted] of [
  ['limits.cpu', undefined, '1'],
  ['limits.cpu', '1m', '250'],
  ['requests.cpu', '1m', '100'],
  ['limits.memory', '1Mi', '64'],
  ['requests.memory', '1', '0'],
  ['limits.ephemeral-storage', undefined, '100'],
  ['limits.hugepages-2Mi', '1Mi', '0'],
] as const)
  test(`resource ${resource} in units of ${divisor ?? 'one'} is ${wanted}`, async () => {
    const { variables } = await build({
      resources: { limits: { cpu: '250m', memory: '64Mi' }, requests: { cpu: '100m' } },
      env: [{ name: 'R', valueFrom: { resourceFieldRef: { resource, divisor } } }],
    });
    assert.equal(variables.get('R'), wanted);
  });

test('a limit that is not set is what the node offers', async () => {
  const env = [{ name: 'R', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Gi' } } }];
  assert.equal((await build({ env })).variables.get('R'), '8');
});

test('what is missing is an error unless it is optional', async () => {
  const ref = (optional?: boolean) => [
    { name: 'V', valueFrom: { configMapKeyRef: { name: 'cfg', key: 'NONE', optional } } },
  ];
  await assert.rejects(build({ env: ref() }), /couldn't find key NONE in ConfigMap app\/cfg/);
  assert.equal((await build({ env: ref(true) })).variables.has('V'), false);
  await assert.rejects(build({ envFrom: [{ secretRef: { name: 'none' } }] }), /secret "none" not found/);
  await build({ envFrom: [{ secretRef: { name: 'none', optional: true } }] });
});

test('variables from a file in a volume, which cannot be a link out of it', async () => {
  const root = mkdtempSync('/tmp/skiff-env-');
  try {
    writeFileSync(`${root}/vars`, "# comment\n\nA='one'\nB = 'two\nlines' # end\n");
    symlinkSync('/etc/passwd', `${root}/out`);
    const from = (path: string, key: string) => ({ fileKeyRef: { volumeName: 'v', path, key } });
    const env = [{ name: 'B', valueFrom: from('vars', 'B') }];
    assert.equal((await build({ env }, {}, root)).variables.get('B'), 'two\nlines');
    await assert.rejects(
      build({ env: [{ name: 'X', valueFrom: from('vars', 'C') }] }, {}, root),
      /not found in file/,
    );
    await assert.rejects(build({ env: [{ name: 'X', valueFrom: from('out', 'C') }] }, {}, root), /leads out/);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('a file line that is no assignment is named', () => {
  assert.throws(() => parseEnvFile("A='1'\nB=2\n"), /line 2/);
  assert.throws(() => parseEnvFile("A='1"), /line 1/);
});
