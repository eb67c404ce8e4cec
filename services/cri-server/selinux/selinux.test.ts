/** SELinux on a machine that is made of files: what is asked of the kernel, and what labels come of it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  ContainerConfigSchema,
  PodSandboxConfigSchema,
  SELinuxOptionSchema,
} from '#contracts/cri/runtime_pb.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { labelsOf } from '../containers/labels.ts';
import { overlayOptions } from '../images/roots/mount-root.ts';
import type { SandboxView } from '../ports.ts';
import { openSelinux } from './policy.ts';
import { relabel } from './relabel.ts';

const option = (fields: object) => create(SELinuxOptionSchema, fields);

function machine(t: TestContext, files: Record<string, string>): string {
  const root = mkdtempSync('/tmp/skiff-se-');
  t.after(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const kernel = { 'sys/fs/selinux/enforce': '1', 'sys/fs/selinux/context': '' };

test('a machine without SELinux has none', (t) => {
  assert.equal(openSelinux(machine(t, { 'etc/selinux/config': 'SELINUXTYPE=targeted' })), undefined);
});

test('the policy names the kinds, the pod the level, and a request may name any part', (t) => {
  const root = machine(t, {
    ...kernel,
    'etc/selinux/config': '# x\nSELINUX=enforcing\nSELINUXTYPE=mls\n',
    'etc/selinux/mls/contexts/lxc_contexts':
      'process = "system_u:system_r:svirt_lxc_net_t:s0"\nfile = "system_u:object_r:svirt_file_t:s0"\n',
  });
  const selinux = openSelinux(root);
  const labels = (fields?: object, privileged = false) =>
    selinux?.labels(fields === undefined ? undefined : option(fields), 's0:c1,c2', privileged);
  assert.deepEqual(labels(), {
    process: 'system_u:system_r:svirt_lxc_net_t:s0:c1,c2',
    mount: 'system_u:object_r:svirt_file_t:s0:c1,c2',
  });
  assert.equal(
    readFileSync(join(root, 'sys/fs/selinux/context'), 'utf8').startsWith('system_u:object_r:svirt_file_t'),
    true,
    'the kernel is asked whether its policy knows the label',
  );
  assert.deepEqual(labels({ user: 'u', role: 'r', type: 'my_t', level: 's0:c7,c8' }), {
    process: 'u:r:my_t:s0:c7,c8',
    mount: 'system_u:object_r:svirt_file_t:s0:c7,c8',
  });
  assert.deepEqual(labels({ type: 'my_t' }, true), {
    process: '',
    mount: 'system_u:object_r:svirt_file_t:s0:c1,c2',
  });
});

test("without the policy's own names the usual ones are taken; a label that it does not know is refused", (t) => {
  const root = machine(t, kernel);
  const selinux = openSelinux(root);
  assert.equal(
    selinux?.labels(undefined, 's0:c1,c2', false).process,
    'system_u:system_r:container_t:s0:c1,c2',
  );
  rmSync(join(root, 'sys/fs/selinux/context')); // As the kernel answers EINVAL.
  assert.throws(
    () => selinux?.labels(option({ level: 's0,c4,c5' }), 's0', false),
    (error) => isSkiffError(error, 'INVALID_ARGUMENT') && error.message.includes('container_t:s0,c4,c5'),
  );
});

test('levels have two different categories in order, and no two pods have the same', (t) => {
  const selinux = openSelinux(machine(t, kernel));
  const taken = new Set<string>();
  for (let count = 0; count < 2000; count += 1) {
    const level = selinux?.freeLevel(taken) ?? '';
    const [, a = '', b = ''] = /^s0:c(\d+),c(\d+)$/.exec(level) ?? [];
    assert.ok(Number(a) < Number(b) && Number(b) < 1024, level);
    assert.ok(!taken.has(level));
    taken.add(level);
  }
});

test('containers of a pod share its level; a VM pod and a machine without have no labels', (t) => {
  const selinux = openSelinux(machine(t, kernel));
  const view = (fields: object) =>
    ({
      runtimeHandler: 'r',
      selinuxLevel: 's0:c3,c4',
      config: create(PodSandboxConfigSchema, fields),
    }) as SandboxView;
  const runtimes = (pods?: object) => ({ driver: () => ({ pods }) }) as never;
  const plain = create(ContainerConfigSchema, {});
  const pod = view({ linux: { securityContext: { selinuxOptions: { type: 'pod_t' } } } });
  assert.equal(
    labelsOf({ selinux, runtimes: runtimes() }, pod, plain)?.process,
    'system_u:system_r:pod_t:s0:c3,c4',
  );
  const own = create(ContainerConfigSchema, {
    linux: { securityContext: { selinuxOptions: { type: 'own_t' } } },
  });
  assert.equal(
    labelsOf({ selinux, runtimes: runtimes() }, pod, own)?.process,
    'system_u:system_r:own_t:s0:c3,c4',
  );
  assert.equal(labelsOf({ selinux, runtimes: runtimes({}) }, pod, plain), undefined);
  assert.equal(labelsOf({ selinux: undefined, runtimes: runtimes() }, pod, plain), undefined);
});

test('the root of a container is mounted with the label, quoted since it has commas', () => {
  const paths = { upper: '/u', work: '/w' };
  const options = overlayOptions(paths, ['/b', '/a'], false, 'system_u:object_r:container_file_t:s0:c1,c2');
  assert.equal(
    options,
    'lowerdir=/b:/a,upperdir=/u,workdir=/w,context="system_u:object_r:container_file_t:s0:c1,c2"',
  );
});

test('directories of the machine are not relabelled; a file system without labels is fine', async (t) => {
  for (const path of ['/', '/etc', '/usr', '/var/lib'])
    await assert.rejects(relabel(path, 'u:r:t:s0'), (error) => isSkiffError(error, 'INVALID_ARGUMENT'));
  const root = machine(t, { 'v/below/file': 'x' });
  symlinkSync('/etc/passwd', join(root, 'v/link'));
  await relabel(join(root, 'v'), 'system_u:object_r:container_file_t:s0');
});
