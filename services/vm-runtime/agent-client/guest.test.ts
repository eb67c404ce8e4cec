/** What the agent does of the guest: limits, figures, network, mounts. One VM serves the file; each test has containers of its own. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import {
  bootGuest,
  inContainer,
  nicMac,
  outputOf,
  testConfig,
  testProcess,
  textOf,
} from '../../../test/guest-vm.ts';
import type { AgentEvent } from './types.ts';

const vm = await bootGuest();
const { agent } = vm;
after(() => vm.stop());

test('freezes, limits, counts, lists', async () => {
  const memory = { limit: 32 * 1024 * 1024 };
  const wish = { resources: { memory, pids: { limit: 50 } } };
  await inContainer(
    agent,
    'figures',
    async (run) => {
      assert.equal((await agent.containerStats('figures')).memoryLimitBytes, memory.limit);
      await agent.updateContainer('figures', JSON.stringify({ memory: { limit: 48 * 1024 * 1024 } }));
      const stats = await agent.containerStats('figures');
      assert.equal(stats.memoryLimitBytes, 48 * 1024 * 1024);
      assert.equal(stats.pidsLimit, 50);
      assert.ok(stats.cpuUsageUsec > 0 && stats.memoryUsageBytes > 0 && stats.pids === 1);
      const [process] = await agent.listProcesses('figures');
      assert.deepEqual(process?.command, ['sleep', '1000']);
      const beat = await run(['sh', '-c', 'while :; do echo x; sleep 0.02; done']);
      let beats = 0;
      beat.stdout.on('data', () => beats++);
      while (beats === 0) await sleep(5);
      await agent.pauseContainer('figures');
      await assert.rejects(agent.pauseContainer('figures'), (error) =>
        isSkiffError(error, 'FAILED_PRECONDITION'),
      );
      const frozen = beats;
      await sleep(200);
      assert.equal(beats, frozen);
      await agent.resumeContainer('figures');
      while (beats === frozen) await sleep(5);
    },
    wish,
  );
  const guest = await agent.guestStats();
  assert.ok(guest.memoryTotalBytes > 200e6 && guest.cpuUsageUsec > 0 && guest.uptimeMs > 0);
});

test('processes have random addresses, though the runtime that starts them has not', async () => {
  const config = JSON.parse(testConfig(['sh', '-c', 'cat /proc/self/personality; sleep 1000']));
  const refused = { names: ['personality'], action: 'SCMP_ACT_ERRNO' };
  config.linux.seccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [refused] };
  const main = await agent.createContainer({ id: 'random', config: JSON.stringify(config), terminal: false });
  await agent.startContainer('random');
  const [own] = await main.stdout.take(1).toArray();
  const process = JSON.stringify(testProcess(['cat', '/proc/self/personality']));
  const command = await agent.exec({ containerId: 'random', process, terminal: false });
  assert.deepEqual([String(own), await textOf(command.stdout)], ['00000000\n', '00000000\n']);
  await agent.deleteContainer('random');
});

test('tells when the kernel kills for want of memory', async () => {
  const events: AgentEvent[] = [];
  const off = agent.onEvent((event) => events.push(event));
  const config = testConfig(['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=64M', 'count=1'], {
    resources: { memory: { limit: 16 * 1024 * 1024, swap: 16 * 1024 * 1024 } },
  });
  const main = await agent.createContainer({ id: 'hungry', config, terminal: false });
  await agent.startContainer('hungry');
  await main.exited;
  for (let i = 0; i < 200 && !events.some(({ kind }) => kind === 'oom'); i++) await sleep(10);
  off();
  const oom = events.find((event) => event.kind === 'oom');
  assert.equal(oom?.kind === 'oom' && oom.containerId, 'hungry');
  await agent.deleteContainer('hungry');
});

test('lineage 17: connects to ports inside without any tool in the container', async () => {
  await inContainer(agent, 'server', async (run) => {
    const server = await run(['nc', '-l', '-p', '8080', '-e', 'cat']);
    const dial = async () => {
      for (let i = 0; ; i++) {
        try {
          return await agent.connectTcp(8080);
        } catch (error) {
          if (i === 100) throw error;
          await sleep(20);
        }
      }
    };
    const connection = await dial();
    connection.end('hello over there');
    assert.equal(await textOf(connection), 'hello over there');
    await server.exited;
    await server.release();
    await assert.rejects(agent.connectTcp(8080), (error) => isSkiffError(error, 'UNAVAILABLE'));
  });
});

test('takes names, network, sysctls, time, randomness and files', async () => {
  await agent.configure({
    hostname: 'web-1',
    interfaces: [{ mac: nicMac, name: 'eth0', mtu: 1400, addresses: ['10.9.8.7/24', 'fd09::7/64'] }],
    routes: [
      { destination: '10.77.0.0/16', interface: 'eth0', scope: 253 },
      { destination: '0.0.0.0/0', gateway: '10.9.8.1', interface: 'eth0', mtu: 1300 },
      { destination: '::/0', gateway: 'fd09::1', interface: 'eth0' },
    ],
    sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0', 'net/ipv4/conf/eth0/rp_filter': '2' },
    machineId: '0123456789abcdef0123456789abcdef',
    entropy: randomBytes(64),
    time: 1_900_000_000_000_000_000n,
  });
  await agent.writeFile({ path: '/run/made/here', data: Buffer.from('text'), mode: 0o644, uid: 5, gid: 6 });
  const mounts = [{ destination: '/tmp', type: 'bind', source: '/run/made', options: ['bind'] }];
  await inContainer(
    agent,
    'net',
    async (run) => {
      const said = async (line: string) => (await outputOf(await run(['sh', '-c', line]))).out.trim();
      assert.equal(await said('hostname'), 'web-1');
      assert.match(
        await said('ip addr show eth0'),
        /mtu 1400[\s\S]*inet 10\.9\.8\.7\/24[\s\S]*inet6 fd09::7\/64/,
      );
      assert.match(
        await said('ip route'),
        /default via 10\.9\.8\.1[\s\S]*10\.77\.0\.0\/16 dev eth0 scope link/,
      );
      assert.match(await said('ip -6 route'), /default via fd09::1/);
      assert.equal(await said('cat /proc/sys/net/ipv4/ip_unprivileged_port_start'), '0');
      assert.equal(await said('date +%Y'), '2030');
      assert.equal(await said('cat /tmp/here; stat -c " %a %u %g" /tmp/here'), 'text 644 5 6');
    },
    { mounts },
  );
  await assert.rejects(
    agent.configure({ interfaces: [{ mac: '02:00:00:00:00:99', name: 'eth9', addresses: [] }] }),
    /no interface has the hardware address of eth9/,
  );
  await assert.rejects(agent.configure({ sysctls: { 'no.such': '1' } }), (error) =>
    isSkiffError(error, 'NOT_FOUND'),
  );
  await agent.setClock(BigInt(Date.now()) * 1_000_000n, randomBytes(32));
});

test('mounts tmpfs, disks by serial number and overlays; says what is not there', async () => {
  await agent.mount({ type: 'ext4', target: '/run/disk', blockSerial: 'disk0', options: ['ro'] });
  await agent.mount({
    source: 'tmpfs',
    type: 'tmpfs',
    target: '/run/memory',
    options: ['size=1m', 'nosuid'],
  });
  await agent.mount({ source: 'tmpfs', type: 'tmpfs', target: '/run/over' });
  for (const name of ['upper', 'work'])
    await agent.writeFile({ path: `/run/over/${name}/x`, data: Buffer.from('') });
  const layers = ['lowerdir=/run/share/root', 'upperdir=/run/over/upper', 'workdir=/run/over/work'];
  await agent.mount({ source: 'overlay', type: 'overlay', target: '/run/merged', options: layers });
  const bind = (source: string, destination: string) => ({
    source,
    destination,
    type: 'bind',
    options: ['rbind'],
  });
  const wish = { root: '/run/merged', mounts: [bind('/run/disk', '/tmp'), bind('/run/memory', '/sys')] };
  await inContainer(
    agent,
    'mounts',
    async (run) => {
      const { out } = await outputOf(
        await run(['sh', '-c', 'cd /tmp; ls; touch no; cd /sys; df -k . | tail -n 1']),
      );
      assert.match(out, /busybox[\s\S]*1024/);
      assert.equal((await outputOf(await run(['touch', '/new']))).code, 0);
    },
    wish,
  );
  for (const target of ['/run/merged', '/run/over', '/run/memory', '/run/disk', '/run/never'])
    await agent.unmount(target, { remove: true });
  await assert.rejects(
    agent.mount({ type: 'ext4', target: '/run/disk', blockSerial: 'none', waitMs: 50 }),
    /no disk with the serial number none/,
  );
  await assert.rejects(
    agent.mount({ source: 'no', type: 'virtiofs', target: '/run/no', waitMs: 50 }),
    (error) => isSkiffError(error),
  );
  await agent.dropCaches();
});

test('containers of a pod can share one PID namespace', async () => {
  await agent.configure({ sharedPidNamespace: true });
  const namespaces = [{ type: 'mount' }, { type: 'pid', path: '/run/ns/pid' }];
  await inContainer(
    agent,
    'one',
    async () => {
      await inContainer(
        agent,
        'two',
        async (run) => {
          const { out } = await outputOf(await run(['ps', '-o', 'args']));
          assert.equal(out.match(/sleep 1000/g)?.length, 2);
          assert.match(out, /pause/);
        },
        { namespaces },
      );
    },
    { namespaces },
  );
});

test('calls have deadlines, and late replies harm nobody', async () => {
  const config = testConfig(['true']);
  const late = agent.createContainer({ id: 'late', config, terminal: false }, { deadlineMs: 1 });
  await assert.rejects(late, (error) => isSkiffError(error, 'DEADLINE_EXCEEDED'));
  const cancelled = agent.ping({ signal: AbortSignal.abort() });
  await assert.rejects(cancelled, (error) => isSkiffError(error, 'CANCELLED'));
  assert.ok((await agent.ping()) > 0);
  for (let i = 0; i < 100; i++) {
    await sleep(20);
    if (
      await agent.deleteContainer('late').then(
        () => true,
        () => false,
      )
    )
      break;
  }
});

test('shuts down with its containers, and the connection says so', async () => {
  const main = await agent.createContainer({
    id: 'last',
    config: testConfig(['sleep', '9']),
    terminal: false,
  });
  await agent.startContainer('last');
  await agent.shutdown();
  assert.equal(await vm.exited, 0);
  assert.ok(isSkiffError(await agent.closed, 'UNAVAILABLE'));
  await assert.rejects(agent.ping(), (error) => isSkiffError(error, 'UNAVAILABLE'));
  await main.exited.catch(() => {});
});
