/** Users, groups, capabilities, privileged, paths, no_new_privs, seccomp, AppArmor. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  SecurityProfile_ProfileType as Profile,
  SupplementalGroupsPolicy,
} from '#contracts/cri/runtime_pb.ts';
import type { Context } from '../context.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

const secure = (securityContext: object) => ({ linux: { securityContext } });
const int = (value: number) => ({ value: BigInt(value) });
const ids = (t: Context, id: string) => t.output(id, 'echo $(id -u):$(id -g):$(id -G)');

/** A field of /proc/1/status. */
const field = (t: Context, id: string, name: string) =>
  t.output(id, `grep ^${name}: /proc/1/status | cut -f2`);

export const security = area('security', (rule) => {
  rule('run_as_user runs as that user', async (t) => {
    const { id } = await t.running(secure({ runAsUser: int(4321) }));
    assert.equal(await field(t, id, 'Uid').then((line) => line.split('\t')[0]), '4321');
    assert.equal(await t.output(id, 'id -u'), '4321');
  });

  rule('run_as_username runs as the user of /etc/passwd', async (t) => {
    const { id } = await t.running(secure({ runAsUsername: 'app' }));
    assert.match(await ids(t, id), /^1000:1000:/);
  });

  rule('an unknown run_as_username fails', async (t) => {
    const pod = await t.pod();
    await fails(t.start(pod, secure({ runAsUsername: 'nobody-knows-me' })));
  });

  rule("without either the image's user is used, by name and by number", async (t) => {
    const pod = await t.pod();
    const named = await t.start(pod, { image: { image: t.images.named ?? '' } });
    assert.match(await ids(t, named), /^1000:1000:/);
    const numbered = await t.start(pod, { image: { image: t.images.numbered ?? '' } });
    assert.match(await ids(t, numbered), /^1234:2345:/);
  });

  rule('run_as_group sets the primary group', async (t) => {
    const { id } = await t.running(secure({ runAsUser: int(1000), runAsGroup: int(777) }));
    assert.match(await ids(t, id), /^1000:777:/);
  });

  rule('run_as_group without a user fails', async (t) => {
    const pod = await t.pod();
    await fails(t.create(pod, secure({ runAsGroup: int(777) })));
  });

  rule("supplemental groups are added to the image's", async (t) => {
    const { id } = await t.running(secure({ runAsUser: int(1000), supplementalGroups: [5555n] }));
    const groups = (await t.output(id, 'id -G')).split(' ');
    for (const each of ['1000', '2000', '5555'])
      assert.ok(groups.includes(each), `${each} is not in ${groups}`);
  });

  rule("with the policy Strict the image's groups do not count", async (t) => {
    const { features } = await t.cri.runtime.status({});
    if (!features?.supplementalGroupsPolicy)
      t.skip('the runtime does not announce supplemental_groups_policy');
    const context = {
      runAsUser: int(1000),
      supplementalGroups: [5555n],
      supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict,
    };
    const { id } = await t.running(secure(context));
    const groups = (await t.output(id, 'id -G')).split(' ');
    assert.deepEqual(groups.sort(), ['1000', '5555']);
  });

  rule('ContainerStatus tells the user that the container runs as', async (t) => {
    const { id } = await t.running(secure({ runAsUser: int(1000), supplementalGroups: [5555n] }));
    const { user } = await t.status(id);
    assert.equal(user?.linux?.uid, 1000n);
    assert.equal(user?.linux?.gid, 1000n);
    const groups = user?.linux?.supplementalGroups.map(String) ?? [];
    const inside = (await t.output(id, 'id -G')).split(' ');
    for (const each of inside)
      assert.ok(groups.includes(each) || each === '1000', `${each} is not in ${groups}`);
  });

  rule('added capabilities are there, dropped ones are not', async (t) => {
    const script = 'cat /proc/1/status | grep CapEff | cut -f2';
    const bits = async (capabilities: object) => {
      const { id } = await t.running(secure({ capabilities }));
      return BigInt(`0x${await t.output(id, script)}`);
    };
    const [netAdmin, chown] = [1n << 12n, 1n << 0n];
    const standard = await bits({});
    assert.equal(standard & netAdmin, 0n, 'CAP_NET_ADMIN must not be there by default');
    assert.notEqual(standard & chown, 0n, 'CAP_CHOWN must be there by default');
    assert.notEqual((await bits({ addCapabilities: ['NET_ADMIN'] })) & netAdmin, 0n);
    assert.equal((await bits({ dropCapabilities: ['CHOWN'] })) & chown, 0n);
    assert.equal(await bits({ dropCapabilities: ['ALL'] }), 0n);
    assert.equal(await bits({ dropCapabilities: ['ALL'], addCapabilities: ['NET_ADMIN'] }), netAdmin);
    assert.notEqual((await bits({ addCapabilities: ['ALL'] })) & (1n << 21n), 0n);
  });

  rule('a privileged container needs a privileged sandbox', async (t) => {
    const pod = await t.pod();
    await fails(t.create(pod, secure({ privileged: true })));
  });

  rule('a privileged container has all capabilities, the devices, and a writable /sys', async (t) => {
    const { id } = await t.running(secure({ privileged: true }), secure({ privileged: true }));
    const effective = BigInt(`0x${await field(t, id, 'CapEff')}`);
    assert.notEqual(effective & (1n << 21n), 0n, 'CAP_SYS_ADMIN is missing');
    assert.equal(await field(t, id, 'Seccomp'), '0');
    assert.ok((await t.output(id, 'ls /dev | wc -l').then(Number)) > 25);
    assert.match(await t.output(id, 'grep " /sys " /proc/mounts'), / rw[, ]/);
    await t.output(id, 'mkdir /m && mount -t tmpfs x /m');
  });

  rule('an ordinary container has a read-only /sys and cannot mount', async (t) => {
    const { id } = await t.running();
    assert.match(await t.output(id, 'grep " /sys " /proc/mounts'), / ro[, ]/);
    assert.notEqual((await t.sh(id, 'mkdir /m && mount -t tmpfs x /m')).exitCode, 0);
  });

  rule('masked paths are empty, read-only paths refuse writes', async (t) => {
    const context = { maskedPaths: ['/proc/kcore', '/proc/timer_list'], readonlyPaths: ['/proc/sys'] };
    const { id } = await t.running(secure(context));
    assert.equal(await t.output(id, 'wc -c < /proc/timer_list'), '0');
    assert.notEqual((await t.sh(id, 'echo 1 > /proc/sys/net/ipv4/ip_forward')).exitCode, 0);
    assert.match(await t.output(id, 'grep " /proc/sys " /proc/mounts'), / ro[, ]/);
  });

  rule('without masked and read-only paths nothing is masked', async (t) => {
    const { id } = await t.running(secure({ maskedPaths: [], readonlyPaths: [] }));
    assert.equal(await t.output(id, 'grep -c " /proc/" /proc/mounts || true'), '0');
  });

  rule('no_new_privs is set when asked for, and only then', async (t) => {
    const pod = await t.pod();
    assert.equal(await field(t, await t.start(pod, secure({ noNewPrivs: true })), 'NoNewPrivs'), '1');
    assert.equal(await field(t, await t.start(pod, secure({})), 'NoNewPrivs'), '0');
  });

  rule('seccomp: nothing said and Unconfined filter nothing, RuntimeDefault filters', async (t) => {
    const pod = await t.pod();
    assert.equal(await field(t, await t.start(pod), 'Seccomp'), '0');
    const unconfined = { seccomp: { profileType: Profile.Unconfined } };
    assert.equal(await field(t, await t.start(pod, secure(unconfined)), 'Seccomp'), '0');
    const standard = await t.start(pod, secure({ seccomp: { profileType: Profile.RuntimeDefault } }));
    assert.equal(await field(t, standard, 'Seccomp'), '2');
    assert.notEqual((await t.sh(standard, 'unshare -U true')).exitCode, 0, 'unshare must be blocked');
  });

  rule('seccomp: a profile of the host is loaded; a missing one fails', async (t) => {
    const path = join(t.directory, 'profile.json');
    const syscalls = [{ names: ['chmod', 'fchmod', 'fchmodat', 'fchmodat2'], action: 'SCMP_ACT_ERRNO' }];
    writeFileSync(path, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls }));
    const localhost = (localhostRef: string) =>
      secure({ seccomp: { profileType: Profile.Localhost, localhostRef } });
    const { pod, id } = await t.running(localhost(path));
    assert.notEqual((await t.sh(id, 'chmod 700 /srv')).exitCode, 0);
    assert.equal(await field(t, id, 'Seccomp'), '2');
    await fails(t.start(pod, localhost(join(t.directory, 'missing.json'))));
  });

  rule('seccomp does not hold for privileged containers', async (t) => {
    const privileged = secure({ privileged: true });
    const context = { privileged: true, seccomp: { profileType: Profile.RuntimeDefault } };
    const { id } = await t.running(secure(context), privileged);
    assert.equal(await field(t, id, 'Seccomp'), '0');
  });

  rule('AppArmor: a profile that is not loaded fails', async (t) => {
    if (!existsSync('/sys/kernel/security/apparmor/profiles')) t.skip('this kernel has no AppArmor');
    const pod = await t.pod();
    const apparmor = { profileType: Profile.Localhost, localhostRef: 'no-such-profile' };
    await fails(t.create(pod, secure({ apparmor })));
  });

  rule('exec runs as the user and with the groups of the container', async (t) => {
    const { id } = await t.running(secure({ runAsUser: int(1000), supplementalGroups: [5555n] }));
    const groups = (await t.output(id, 'id -G')).split(' ').sort();
    const first = (await field(t, id, 'Groups')).trim().split(' ').sort();
    assert.deepEqual(groups, [...new Set([...first, '1000'])].sort());
  });
});
