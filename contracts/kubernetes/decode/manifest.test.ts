import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeOne, loadManifests } from './load.ts';
import { decodeManifests, formatProblem } from './manifest.ts';

const problems = (text: string) => decodeManifests(text, 'f').problems.map(formatProblem);

test('every problem has its place, field and reason', () => {
  const table: [string, RegExp][] = [
    ['apiVersion: v1\nkind: Pod\nspec:\n\tcontainers: []', /^f:4:1: a tab indents/],
    ['apiVersion: v1\nkind: ConfigMap\nkind: Pod', /^f:3:1: this key is already set/],
    [
      'apiVersion: v1\nkind: ConfigMap\ndata: {a: 5}',
      /^f:3:8: data\.a: expected text, found the number 5; write it in quotes: "5"/,
    ],
    ['apiVersion: v1\nkind: ConfigMap\ndata: []', /^f:3:1: data: expected a mapping, found a list/],
    ['apiVersion: v1\nkind: Secret\ndata: {a: "?"}', /^f:3:8: data\.a: not base64/],
    [
      'apiVersion: v1\nkind: Pod\nspec: {containers: [{imagePullPolice: A}]}',
      /^f:3:22: spec\.containers\[0\]\.imagePullPolice: unknown field; did you mean "imagePullPolicy"\?/,
    ],
    [
      'apiVersion: v1\nkind: Pod\nspec: {image: a}',
      /spec\.image: unknown field; it belongs in containers\[\]/,
    ],
    ['apiVersion: v1\nkind: pod', /^f:2:1: kind: .*did you mean Pod\?/],
    ['apiVersion: apps/v1\nkind: Pod', /Pod is served as apiVersion: v1/],
    ['apiVersion: apps/v1\nkind: Deployment', /write a Pod/],
    ['kind: Pod', /^f:1:1: apiVersion: Required value/],
    [
      'apiVersion: v1\nkind: Pod\nmetadata: {creationTimestamp: yesterday}',
      /metadata\.creationTimestamp: expected an RFC 3339 time/,
    ],
    ['just text', /expected an object/],
    [
      '{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": true}}',
      /^f:1:52: data\.a: expected text, found true/,
    ],
    ['a: [', /^f:1:/],
  ];
  for (const [text, expected] of table) assert.match(problems(text).join('\n'), expected, text);
});

test('YAML is read as Kubernetes reads it', () => {
  const text = `apiVersion: v1
kind: Pod
metadata: {name: a, creationTimestamp: "2026-11-21T10:45:14.5Z", annotations: {when: 2001-12-14, time: "12:30"}}
spec:
  hostNetwork: yes
  containers: [&c {name: a, image: b, args: ["on"]}]
  volumes: [{name: v, configMap: {name: c, defaultMode: 0644}}]
---
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: z}, data: {a: 1}}
`;
  const { objects, problems } = decodeManifests(text, 'f');
  assert.deepEqual(
    objects.map(({ object }) => object.metadata.name),
    ['a', 'x', 'z'],
  );
  const spec = JSON.parse(JSON.stringify(objects[0]?.object)).spec;
  assert.equal(spec.hostNetwork, true);
  assert.equal(spec.volumes[0].configMap.defaultMode, 0o644);
  assert.equal(objects[0]?.object.metadata.creationTimestamp, '2026-11-21T10:45:14Z');
  assert.equal(objects[0]?.object.metadata.annotations?.when, '2001-12-14');
  assert.match(formatProblem(problems[0]!), /^f:14:\d+: data\.a: expected text/);
});

test('hostile texts end in a problem, soon', () => {
  const laughs = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
  for (let at = 1; at < 10; at += 1) {
    const before = String.fromCharCode(96 + at);
    const name = String.fromCharCode(97 + at);
    laughs.push(`${name}: &${name} [${Array.from({ length: 10 }, () => `*${before}`).join(',')}]`);
  }
  assert.match(problems(laughs.join('\n')).join(), /aliases expand/);
  assert.match(problems('['.repeat(100_000)).join('\n'), /nested too deep|^f:1/);
  assert.match(problems(`a: ${'x'.repeat(11 * 1024 * 1024)}`).join(), /larger than 10 MiB/);
  const nested = `{"apiVersion":"v1","kind":"Pod","spec":${'{"a":'.repeat(500)}1${'}'.repeat(500)}}`;
  assert.ok(problems(nested).length > 0);
  const odd = decodeManifests('{"apiVersion":"v1","kind":"ConfigMap","data":{"__proto__":"x"}}', 'f')
    .objects[0];
  assert.equal(Object.getPrototypeOf(JSON.parse(JSON.stringify(odd)).object.data), Object.prototype);
});

test('files are loaded, checked and compared', () => {
  const folder = mkdtempSync('/tmp/skiff-');
  try {
    const file = (name: string, text: string) => writeFileSync(join(folder, name), text);
    file('a.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n');
    file('b.yml', 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n');
    file(
      'c.json',
      '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"a"}]}}',
    );
    file('ignored.txt', 'no');
    const { objects, problems } = loadManifests([folder]);
    assert.equal(objects.length, 3);
    const texts = problems.map(formatProblem).join('\n');
    assert.match(texts, /b\.yml:4:3: metadata\.name: a second ConfigMap "x"; the first is at .*a\.yaml:3/);
    assert.match(texts, /c\.json:1:\d+: spec\.containers\[0\]\.image: Required value/);
    assert.equal(problems.length, 2);
    assert.match(formatProblem(loadManifests([join(folder, 'none')]).problems[0]!), /ENOENT/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('one object of one kind, or an error that lists everything', () => {
  const pod = decodeOne('apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}', 'f', 'Pod');
  assert.equal(pod.metadata.name, 'a');
  assert.throws(
    () => decodeOne('apiVersion: v1\nkind: Secret', 'f', 'Pod'),
    /expected one Pod, found Secret/,
  );
  assert.throws(() => decodeOne('apiVersion: v1\nkind: Pod\nspec: {foo: 1}', 'f', 'Pod'), /f:3:8: spec\.foo/);
});
