import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { capabilityNames } from '#contracts/oci/capability-names.ts';
import { type Fixture, openFixture } from '../../../test/containers-fixture.ts';
import { readHostFacts } from './spec/host.ts';

type Security = Record<string, unknown>;

/** Runs a script in a new container with this security context and returns what it printed. */
async function printed(
  fixture: Fixture,
  script: string,
  securityContext: Security = {},
  more: object = {},
): Promise<string> {
  const id = await fixture.run('sleep 100', { linux: { securityContext }, ...more } as never);
  const { stdout, stderr } = await fixture.exec(id, script);
  return (stdout + stderr).trim();
}

async function capabilities(fixture: Fixture, context: Security): Promise<string[]> {
  const text = await printed(fixture, 'grep CapBnd /proc/self/status', context);
  const bits = BigInt(`0x${text.split(/\s+/)[1]}`);
  return capabilityNames.filter((_, bit) => (bits >> BigInt(bit)) & 1n);
}

test('users and groups come from the request, then the image', async (t) => {
  const fixture = await openFixture(t, { image: { User: 'ana' } });
  const id = 'id -u; id -g; id -G';
  assert.equal(await printed(fixture, id), '1000\n1001\n1001 2000');
  assert.equal(
    await printed(fixture, id, {
      runAsUser: { value: 1000n },
      runAsGroup: { value: 7n },
      supplementalGroups: [42n],
    }),
    '1000\n7\n7 42 2000',
  );
  assert.equal(
    await printed(fixture, id, {
      runAsUser: { value: 1000n },
      supplementalGroups: [42n],
      supplementalGroupsPolicy: 1,
    }),
    '1000\n1001\n1001 42',
  );
  assert.equal(await printed(fixture, id, { runAsUsername: 'root', runAsUser: { value: 5n } }), '0\n0\n0');
  assert.equal(await printed(fixture, id, { runAsUser: { value: 4242n } }), '4242\n0\n0');
  await assert.rejects(
    fixture.run('true', { linux: { securityContext: { runAsGroup: { value: 5n } } } } as never),
    /run_as_group 5 needs/,
  );
  await assert.rejects(
    fixture.run('true', { linux: { securityContext: { runAsUsername: 'nobodyhere' } } } as never),
    /not in the image's \/etc\/passwd/,
  );
});

test('the status tells the same user as the process has', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.run('sleep 100', {
    linux: { securityContext: { runAsUsername: 'ana', supplementalGroups: [9n] } },
  } as never);
  const { user } = (await fixture.status(id)) as unknown as {
    user: { linux: { uid: bigint; gid: bigint; supplementalGroups: bigint[] } };
  };
  assert.deepEqual(
    [user.linux.uid, user.linux.gid, user.linux.supplementalGroups],
    [1000n, 1001n, [9n, 1001n, 2000n]],
  );
});

test('capabilities: default set, ALL, additions and removals, in any spelling', async (t) => {
  const fixture = await openFixture(t);
  const held = [...readHostFacts().capabilities];
  const usual = await capabilities(fixture, {});
  assert.equal(usual.length, 14);
  assert.ok(usual.includes('CAP_NET_RAW') && !usual.includes('CAP_SYS_ADMIN'));
  const all = await capabilities(fixture, { capabilities: { addCapabilities: ['ALL'] } });
  assert.deepEqual(all.sort(), held.sort());
  const some = await capabilities(fixture, {
    capabilities: { addCapabilities: ['net_admin'], dropCapabilities: ['ALL'] },
  });
  assert.deepEqual(some, ['CAP_NET_ADMIN']);
  const but = await capabilities(fixture, {
    capabilities: { addCapabilities: ['all'], dropCapabilities: ['CAP_SYS_ADMIN'] },
  });
  assert.deepEqual(but.sort(), held.filter((name) => name !== 'CAP_SYS_ADMIN').sort());
  const ambient = await printed(fixture, 'grep -E "CapAmb|CapEff" /proc/self/status', {
    runAsUser: { value: 1000n },
    capabilities: { addAmbientCapabilities: ['NET_BIND_SERVICE'] },
  });
  assert.equal(new Set(ambient.split('\n').map((line) => line.split('\t')[1])).size, 1);
  await assert.rejects(
    fixture.create({
      linux: { securityContext: { capabilities: { addCapabilities: ['NONSENSE'] } } },
    } as never),
    /no capability "NONSENSE"/,
  );
});

test("privileged needs a privileged sandbox, and then sees the host's devices and hides nothing", async (t) => {
  const plain = await openFixture(t);
  await assert.rejects(printed(plain, 'true', { privileged: true }), { code: 'INVALID_ARGUMENT' });
  const fixture = await openFixture(t, {
    sandbox: { linux: { securityContext: { privileged: true } } } as never,
  });
  const script =
    'grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status; ls /dev | grep -c -E "^(kmsg|fuse|loop-control|vda)$"; mkdir /sys/fs/cgroup/memory/x 2>&1; ls -d /sys/fs/cgroup/memory/x; rm -r /sys/fs/cgroup/memory/x 2>/dev/null; touch /proc/sys/kernel/domainname && echo writable';
  const text = await printed(fixture, script, {
    privileged: true,
    maskedPaths: ['/proc/kcore'],
    seccomp: { profileType: 2, localhostRef: '/nothere.json' },
  });
  assert.match(text, /Seccomp:\t0/);
  assert.match(text, /writable/);
});

test('masked paths are hidden, read-only paths and roots refuse writes, exactly as sent', async (t) => {
  const fixture = await openFixture(t);
  const script = 'cat /proc/keys | wc -c; touch /proc/sys/kernel/domainname; touch /x && echo root';
  const guarded = await printed(fixture, script, {
    maskedPaths: ['/proc/keys'],
    readonlyPaths: ['/proc/sys'],
    readonlyRootfs: true,
  });
  assert.match(guarded, /^0\n/);
  assert.match(guarded, /domainname: Read-only file system/);
  assert.doesNotMatch(guarded, /root$/m);
  assert.match(await printed(fixture, script), /root/);
});

test('no_new_privs and seccomp: default, from a file, unconfined', async (t) => {
  const fixture = await openFixture(t);
  const script =
    'grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status | tr "\\t\\n" "  "; unshare -U true; mkdir /tmp/d; chmod 700 /tmp/d';
  const none = await printed(fixture, script);
  assert.match(none, /NoNewPrivs: 0 Seccomp: 0/);
  const usual = await printed(fixture, script, { noNewPrivs: true, seccomp: { profileType: 0 } });
  assert.match(usual, /NoNewPrivs: 1 Seccomp: 2/);
  assert.match(usual, /unshare.*Operation not permitted/);
  assert.doesNotMatch(usual, /chmod|mkdir/);
  const path = join(fixture.root, 'profile.json');
  writeFileSync(
    path,
    JSON.stringify({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['chmod', 'fchmodat'], action: 'SCMP_ACT_ERRNO' }],
    }),
  );
  const custom = await printed(fixture, script, { seccomp: { profileType: 2, localhostRef: path } });
  assert.match(custom, /chmod.*Operation not permitted/);
  for (const [localhostRef, message] of [
    ['/nothere.json', /Cannot load the seccomp profile/],
    ['relative', /no absolute path/],
  ] as const)
    await assert.rejects(printed(fixture, 'true', { seccomp: { profileType: 2, localhostRef } }), message);
  writeFileSync(path, 'rubbish');
  await assert.rejects(
    printed(fixture, 'true', { seccompProfilePath: `localhost/${path}` }),
    /Cannot load the seccomp profile/,
  );
});

test('a filter that was compiled for one container holds in the next, and not in one with another profile', async (t) => {
  const fixture = await openFixture(t);
  const script =
    'grep Seccomp: /proc/self/status | tr "\\t" " "; unshare -U true; mkdir /tmp/d; chmod 700 /tmp/d && echo chmod';
  const path = join(fixture.root, 'profile.json');
  const rule = { names: ['chmod', 'fchmodat'], action: 'SCMP_ACT_ERRNO' };
  writeFileSync(path, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] }));
  for (let round = 0; round < 2; round += 1) {
    const usual = await printed(fixture, script, { seccomp: { profileType: 0 } });
    assert.match(usual, /^Seccomp: 2/);
    assert.match(usual, /chmod$|chmod\n/m);
    assert.match(usual, /unshare.*Operation not permitted/);
    const custom = await printed(fixture, script, { seccomp: { profileType: 2, localhostRef: path } });
    assert.match(custom, /chmod.*Operation not permitted/);
    assert.doesNotMatch(custom, /unshare.*not permitted/);
  }
});

test('AppArmor where the host has none: only nothing or unconfined', async (t) => {
  const fixture = await openFixture(t);
  if (readHostFacts().apparmor) return;
  await printed(fixture, 'true', { apparmor: { profileType: 1 } });
  await assert.rejects(
    printed(fixture, 'true', { apparmor: { profileType: 2, localhostRef: 'x' } }),
    /no AppArmor/,
  );
});

test('devices and CDI devices: nodes, permissions, environment, mounts', async (t) => {
  const fixture = await openFixture(t, { deps: { cdiDirectories: ['/tmp/skiff-cdi-test'] } });
  mkdirSync('/tmp/skiff-cdi-test', { recursive: true });
  t.after(async () => (await import('node:fs')).rmSync('/tmp/skiff-cdi-test', { recursive: true }));
  writeFileSync(
    '/tmp/skiff-cdi-test/acme.json',
    JSON.stringify({
      cdiVersion: '0.6.0',
      kind: 'acme.com/gpu',
      containerEdits: { env: ['ALL=1'] },
      devices: [
        {
          name: 'one',
          containerEdits: {
            env: ['ONE=1'],
            deviceNodes: [{ path: '/dev/acme', hostPath: '/dev/full' }],
            mounts: [{ hostPath: '/etc', containerPath: '/acme' }],
          },
        },
      ],
    }),
  );
  const id = await fixture.run('sleep 100', {
    devices: [{ hostPath: '/dev/full', containerPath: '/dev/mine', permissions: 'r' }],
    CDIDevices: [{ name: 'acme.com/gpu=one' }],
  } as never);
  const { stdout, stderr } = await fixture.exec(
    id,
    'head -c 2 /dev/mine | wc -c; echo x > /dev/acme; stat -c %t:%T /dev/acme; env | grep -E "^(ALL|ONE)="; ls /acme/hostname',
  );
  assert.match(stdout, /^2\n1:7\n/);
  assert.match(stdout, /ONE=1\nALL=1\n\/acme\/hostname|ALL=1\nONE=1\n\/acme\/hostname/);
  assert.match(stderr, /No space left/);
  await assert.rejects(
    fixture.create({ command: ['true'], CDIDevices: [{ name: 'acme.com/gpu=two' }] } as never),
    /"acme.com\/gpu=two" is in no spec/,
  );
  await assert.rejects(
    fixture.create({
      command: ['true'],
      devices: [{ hostPath: '/etc/passwd', containerPath: '/dev/x' }],
    } as never),
    /is no device/,
  );
});
