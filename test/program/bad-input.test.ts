/** Broken manifests and pods that cannot run: what a person is told. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type TestRoot, testRoot } from './harness.ts';

const pod = (name: string, container: string) => `apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  restartPolicy: Never
  containers:
    - ${container}
`;

const broken: { name: string; text: string; says: RegExp }[] = [
  {
    name: 'a tab',
    text: 'apiVersion: v1\nkind: Pod\nmetadata:\n\tname: x\n',
    says: /bad\.yaml:4:1: .*[Tt]ab/,
  },
  {
    name: 'an unknown field',
    text: pod('x', '{ name: a, image: b, imagePullPolice: Never }'),
    says: /bad\.yaml:7:\d+: spec\.containers\[0\]\.imagePullPolice: .*unknown field.*imagePullPolicy/,
  },
  {
    name: 'a wrong type',
    text: pod('x', '{ name: a, image: 7 }'),
    says: /bad\.yaml:7:\d+: spec\.containers\[0\]\.image: /,
  },
  {
    name: 'a wrong kind',
    text: 'apiVersion: v1\nkind: Pood\nmetadata: { name: x }\n',
    says: /bad\.yaml:\d+:\d+: kind: .*Pood/,
  },
  {
    name: 'a bad name',
    text: pod('Not_Good', '{ name: a, image: b }'),
    says: /bad\.yaml:\d+:\d+: metadata\.name: .*RFC 1123/,
  },
  {
    name: 'two pods of one name',
    text: `${pod('x', '{ name: a, image: b }')}---\n${pod('x', '{ name: a, image: b }')}`,
    says: /bad\.yaml:\d+:\d+: .*a second Pod "x"; the first is at .*bad\.yaml:3/,
  },
  { name: 'no YAML at all', text: '{[', says: /bad\.yaml:1:\d+: / },
  { name: 'an empty file', text: '', says: /bad\.yaml.*(no object|empty)/ },
];

test('a broken manifest is refused with file, line, field and reason, before anything starts', async (t) => {
  const root = testRoot();
  t.after(() => root.dispose());
  for (const { name, text, says } of broken) {
    writeFileSync(`${root.path}/bad.yaml`, text);
    const { code, stderr } = await root.skiff(['up', '-d', `${root.path}/bad.yaml`]);
    assert.equal(code, 64, `${name}: ${stderr}`);
    assert.match(stderr, says, name);
  }
  const absent = await root.skiff(['up', `${root.path}/none.yaml`]);
  assert.equal(absent.code, 64);
  assert.match(absent.stderr, /none\.yaml/);
});

describe('pods that cannot run', { timeout: 240_000 }, () => {
  let root: TestRoot;
  before(() => {
    root = testRoot();
  });
  after(() => root.dispose());

  const up = (text: string, ...options: string[]) => {
    writeFileSync(`${root.path}/m.yaml`, text);
    return root.skiff(['up', '-d', ...options, `${root.path}/m.yaml`]);
  };

  test('an image that does not exist', async () => {
    const { code, stderr } = await up(
      pod('a', '{ name: a, image: "localhost/none:1", imagePullPolicy: Never }'),
    );
    assert.equal(code, 69);
    assert.match(stderr, /pod "a": container "a": ErrImageNeverPull/);
  });

  test('a registry that refuses connections', async () => {
    const { code, stderr } = await up(pod('b', '{ name: a, image: "127.0.0.1:1/none:1" }'));
    assert.equal(code, 69);
    assert.match(stderr, /127\.0\.0\.1:1/);
  });

  test('a command that does not exist, and one that fails', async () => {
    const image = await root.skiff(['image', 'debian', '-t', 'localhost/box:1', 'busybox-static']);
    assert.equal(image.code, 0, image.stderr);
    const missing = await up(pod('c', '{ name: a, image: "localhost/box:1", command: [/no/such] }'));
    assert.equal(missing.code, 69);
    assert.match(missing.stderr, /\/no\/such/);
    const failing = await up(pod('d', '{ name: a, image: "localhost/box:1", command: [sh, -c, "exit 9"] }'));
    assert.equal(failing.code, 69);
    assert.match(failing.stderr, /container "a" ended with exit code 9 \(Error\)/);
    const fine = await up(pod('e', '{ name: a, image: "localhost/box:1", command: ["true"] }'));
    assert.equal(fine.code, 0, fine.stderr);
  });
});
