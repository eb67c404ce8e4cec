import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLogger } from '#foundation/base/log.ts';
import { defaultFile, writeDefaultConfig } from './default-config.ts';
import { createPodNetwork } from './index.ts';
import { applyPodCidr, type PodCidrDeps } from './pod-cidr.ts';
import { fillTemplate } from './template.ts';

/** As they are written for containerd: https://github.com/containerd/containerd/blob/main/docs/cri/config.md names the fields. */
const template = `{ "cniVersion": "1.0.0", "name": "pods", "plugins": [{{/* one */}}
  { "type": "ptp", "ipam": { "type": "host-local",
    "subnet": "{{.PodCIDR}}",
    "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
    "routes": [{{- range $i, $route := .Routes -}} {{if $i}},{{end}}{"dst": "{{$route}}"}{{- end -}}] } }
] }`;

function open(t: TestContext, settings: Partial<PodCidrDeps> = {}) {
  const directory = mkdtempSync('/tmp/skiff-cidr-');
  const configDir = join(directory, 'net.d');
  mkdirSync(configDir);
  const network = createPodNetwork({ configDir, runner: { run: async () => undefined }, log: silentLogger });
  t.after(() => {
    network.close();
    rmSync(directory, { recursive: true });
  });
  const deps: PodCidrDeps = { configDir, network, inUse: () => false, log: silentLogger, ...settings };
  return { directory, configDir, deps, file: join(configDir, defaultFile) };
}

test('a template becomes the configuration, once', (t) => {
  const { directory, deps, file } = open(t);
  const path = join(directory, 'template');
  writeFileSync(path, template);
  applyPodCidr({ ...deps, template: path }, '');
  assert.equal(existsSync(file), false, 'no network, nothing to do');
  applyPodCidr({ ...deps, template: path }, '10.1.2.3/24, 2001:db8::/64');
  const [plugin] = JSON.parse(readFileSync(file, 'utf8')).plugins;
  assert.deepEqual(plugin.ipam, {
    type: 'host-local',
    subnet: '10.1.2.0/24',
    ranges: [[{ subnet: '10.1.2.0/24' }], [{ subnet: '2001:db8::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  });
  assert.equal(deps.network.current().list?.name, 'pods');
  applyPodCidr({ ...deps, template: path }, '10.9.0.0/16');
  assert.match(readFileSync(file, 'utf8'), /10\.1\.2\.0/, 'a configuration that is there stays');
});

test('what cannot be used is refused, and nothing is written', (t) => {
  const { directory, deps, file } = open(t);
  const path = join(directory, 'template');
  const apply = (text: string, cidr = '10.1.0.0/16') => {
    writeFileSync(path, text);
    applyPodCidr({ ...deps, template: path }, cidr);
  };
  assert.throws(() => apply(template, 'rubbish'), { code: 'INVALID_ARGUMENT' });
  assert.throws(() => apply(template, '10.1.0.0/99'), { code: 'INVALID_ARGUMENT' });
  for (const [text, why] of [
    ['{{.Nothing}}', /\{\{\.Nothing\}\} is not understood/],
    ['{{range .Routes}}', /without \{\{end\}\}/],
    ['{{end}}', /without a beginning/],
    ['{{range .PodCIDR}}{{end}}', /no list/],
    ['{{.Routes}}', /no text/],
    ['{ "name": "x" }', /plugins|type/],
  ] as const)
    assert.throws(
      () => apply(text),
      (error: { code: string; message: string }) =>
        error.code === 'FAILED_PRECONDITION' && why.test(error.message) && error.message.includes(path),
      text,
    );
  assert.throws(() => applyPodCidr({ ...deps, template: `${path}-gone` }, '10.0.0.0/8'), /no such file/i);
  assert.equal(existsSync(file), false);
});

test('the configuration of its own takes the addresses over, while nobody uses or changed it', (t) => {
  let removed = 0;
  let used = true;
  const { configDir, deps, file } = open(t, { inUse: () => used });
  const tag = 'abcdef';
  const dataDir = '/nowhere';
  writeDefaultConfig({ configDir, dataDir, tag, subnet: '10.88.1.0/24' });
  const removeBridge = () => {
    removed += 1;
  };
  const own = { dataDir, tag, removeBridge };
  const subnet = () => JSON.parse(readFileSync(file, 'utf8')).plugins[0].ipam.ranges[0][0].subnet;
  applyPodCidr({ ...deps, own }, '10.5.0.0/16');
  assert.equal(subnet(), '10.88.1.0/24', 'pods live by it');
  used = false;
  applyPodCidr({ ...deps, own }, '2001:db8::/64');
  assert.equal(subnet(), '10.88.1.0/24', 'it has no IPv4 network');
  applyPodCidr({ ...deps, own }, '2001:db8::/64,10.5.0.0/16');
  assert.deepEqual([subnet(), removed], ['10.5.0.0/16', 1]);
  applyPodCidr({ ...deps, own }, '10.5.0.0/16');
  assert.equal(removed, 1, 'nothing to change');
  writeFileSync(file, readFileSync(file, 'utf8').replace('"hairpinMode": true', '"hairpinMode": false'));
  applyPodCidr({ ...deps, own }, '10.6.0.0/16');
  assert.equal(subnet(), '10.5.0.0/16', 'somebody changed it');
  applyPodCidr(deps, '10.6.0.0/16');
  assert.equal(subnet(), '10.5.0.0/16', 'it is not ours');
});

test('templates: else, dot, the root, comments', () => {
  const data = { A: 'a', Empty: '', List: ['x', 'y'], None: [] };
  const cases: [string, string][] = [
    ['{{if .Empty}}1{{else}}2{{end}}', '2'],
    ['{{if .A}}1{{else}}2{{end}}', '1'],
    ['{{range .List}}<{{.}}{{$.A}}>{{end}}', '<xa><ya>'],
    ['{{range .None}}1{{else}}none{{end}}', 'none'],
    ['a {{- /* gone */ -}} b', 'ab'],
    ['{{range $x := .List}}{{if $x}}{{$x}}{{end}},{{end}}', 'x,y,'],
  ];
  for (const [text, expected] of cases) assert.equal(fillTemplate(text, data), expected, text);
});
