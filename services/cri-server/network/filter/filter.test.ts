import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { pathsUnder } from '#foundation/base/paths.ts';
import { dialFrom, listenIn } from '#foundation/linux/dial.ts';
import {
  currentNamespace,
  inNamespaces,
  inNewNamespaces,
  pinNamespace,
  prepareNamespaces,
  unpinNamespace,
} from '#foundation/linux/namespaces.ts';
import { leakCheck } from '../../../../test/leaks.ts';
import { type Attachment, addChain, checkChain, deleteChain } from '../cni/chain.ts';
import { parseConfig } from '../cni/config.ts';
import { removeDefaultBridge } from '../default-bridge.ts';
import { bridgeName, defaultConfig } from '../default-config.ts';
import { createPluginRunner } from '../plugins/index.ts';
import type { PacketFilter } from './index.ts';
import { createIptablesFilter } from './iptables.ts';
import { createNftFilter } from './nft.ts';

const signal = new AbortController().signal;

async function setUp(t: TestContext, create: (tag: string) => PacketFilter) {
  await prepareNamespaces();
  const root = mkdtempSync('/tmp/skiff-pf-');
  const leaks = leakCheck(root);
  const { tag } = pathsUnder(root);
  const filter = create(tag);
  const subnet = `10.${96 + (Number.parseInt(tag.slice(0, 2), 16) % 32)}.${Number.parseInt(tag.slice(2, 4), 16)}.0/24`;
  const list = parseConfig(JSON.stringify(defaultConfig(tag, `${root}/leases`, subnet)), 'test');
  const runner = createPluginRunner({ run: async () => assert.fail('executed') }, filter);
  const pins: string[] = [];
  const servers: Server[] = [];
  t.after(async () => {
    for (const server of servers) server.close();
    for (const pin of pins) unpinNamespace(pin);
    removeDefaultBridge(tag);
    await filter.clear();
    await leaks.assertClean();
    rmSync(root, { recursive: true });
  });
  const addNamespace = (name: string) => {
    const pin = `${root}/${name}`;
    inNewNamespaces(['net'], () => pinNamespace(currentNamespace('net'), pin));
    pins.push(pin);
    return pin;
  };
  const addPod = async (name: string, portMappings: object[]) => {
    const pin = addNamespace(name);
    const place: Attachment = {
      list,
      containerId: name,
      ifName: 'eth0',
      args: '',
      capabilities: portMappings.length > 0 ? { portMappings } : {},
    };
    const result = await addChain(runner, place, pin, signal);
    const ips = result.ips?.map(({ address }) => address.split('/')[0] ?? '') ?? [];
    return { pin, place, result, ips };
  };
  /** A server that answers with the address of its caller. */
  const serve = async (pin: string, port: number) => {
    const server = createServer((socket) => socket.end(`${socket.remoteAddress}`.replace('::ffff:', '')));
    servers.push(server);
    await listenIn(pin, server, port);
  };
  return { filter, runner, addPod, addNamespace, serve, tag, subnet };
}

const ask = async (netns: string | undefined, address: string, port: number) => {
  const socket = await dialFrom(netns, address, port);
  const answer = await text(socket);
  socket.destroy();
  return answer;
};

/** A server in a namespace that sends back what it gets. */
async function echoUdp(t: TestContext, netns: string, port: number): Promise<void> {
  // With a lookup that answers at once the socket is made before `bind` returns.
  const server = createSocket({ type: 'udp4', lookup: (name, _options, done) => done(null, name, 4) });
  t.after(() => server.close());
  server.on('message', (message, from) => server.send(message, from.port, from.address));
  const listening = once(server, 'listening');
  inNamespaces({ net: netns }, () => void server.bind(port));
  await listening;
}

async function askUdp(address: string, port: number): Promise<string> {
  const socket = createSocket('udp4');
  try {
    socket.send('ping', port, address);
    const [message] = (await once(socket, 'message', { signal: AbortSignal.timeout(5000) })) as [Buffer];
    return message.toString();
  } finally {
    socket.close();
  }
}

/** An address of this machine that is no loopback and no bridge. */
function hostAddress(): string {
  const route = execFileSync('ip', ['-j', 'route', 'get', '203.0.113.1'], { encoding: 'utf8' });
  return (JSON.parse(route) as { prefsrc: string }[])[0]?.prefsrc ?? '';
}

for (const [name, create] of [
  ['nftables', createNftFilter],
  ['iptables', createIptablesFilter],
] as const) {
  test(`host ports reach the pod from everywhere, ${name}`, async (t) => {
    const { runner, addPod, serve, tag } = await setUp(t, create);
    const port = 20_000 + (Number.parseInt(tag.slice(0, 4), 16) % 10_000);
    const host = hostAddress();
    const web = await addPod('web', [
      { hostPort: port, containerPort: 80, protocol: 'tcp' },
      { hostPort: port + 1, containerPort: 81, protocol: 'tcp', hostIP: '127.0.0.1' },
      { hostPort: port, containerPort: 53, protocol: 'udp' },
    ]);
    const other = await addPod('other', []);
    await serve(web.pin, 80);
    await serve(web.pin, 81);
    const gateway = web.result.ips?.[0]?.gateway ?? '';
    assert.equal(await ask(undefined, '127.0.0.1', port), gateway, 'the host by loopback');
    assert.ok(await ask(undefined, host, port), 'the host by its address');
    assert.ok(await ask(other.pin, host, port), 'another pod');
    assert.equal(await ask(web.pin, host, port), gateway, 'the pod itself (hairpin)');
    assert.equal(await ask(undefined, '127.0.0.1', port + 1), gateway, 'one address only');
    await assert.rejects(ask(undefined, host, port + 1), /ECONNREFUSED/);
    await echoUdp(t, web.pin, 53);
    assert.equal(await askUdp('127.0.0.1', port), 'ping', 'UDP by loopback');
    assert.equal(await askUdp(host, port), 'ping', 'UDP by an address of the host');
    const gateway6 = web.result.ips?.[1]?.gateway ?? '';
    assert.ok(await ask(other.pin, gateway6, port), 'IPv6');
    // Pods talk to each other without anybody changing addresses.
    assert.equal(await ask(other.pin, web.ips[0] ?? '', 80), other.ips[0]);
    await checkChain(runner, web.place, web.pin, web.result, signal);
    await assert.rejects(addPod('thief', [{ hostPort: port, containerPort: 99, protocol: 'tcp' }]), {
      code: 'ALREADY_EXISTS',
      message: /published by another pod/,
    });
    assert.equal(await ask(undefined, '127.0.0.1', port), gateway, 'the first pod keeps its port');
    await deleteChain(runner, web.place, web.pin, web.result, signal);
    await deleteChain(runner, web.place, '', web.result, signal);
    await assert.rejects(ask(undefined, '127.0.0.1', port), /ECONNREFUSED/);
    await assert.rejects(checkChain(runner, web.place, web.pin, web.result, signal), {
      code: 'FAILED_PRECONDITION',
    });
  });

  test(`a port that is published no longer refuses behind a firewall too, ${name}`, async (t) => {
    const { runner, addPod, serve, tag } = await setUp(t, create);
    const port = 10_000 + (Number.parseInt(tag.slice(0, 4), 16) % 10_000);
    const web = await addPod('web', [{ hostPort: port, containerPort: 80, protocol: 'tcp' }]);
    await serve(web.pin, 80);
    // What the kubelet and kube-proxy have against those who reach for the loopback network from outside.
    const firewall = `add table ip firewall-${tag}
      add chain ip firewall-${tag} input { type filter hook input priority filter; }
      add rule ip firewall-${tag} input ip saddr != 127.0.0.0/8 ip daddr 127.0.0.0/8 tcp dport ${port} drop`;
    execFileSync('nft', ['-f', '-'], { input: firewall });
    try {
      assert.ok(await ask(undefined, '127.0.0.1', port));
      await deleteChain(runner, web.place, web.pin, web.result, signal);
      await assert.rejects(ask(undefined, '127.0.0.1', port), /ECONNREFUSED/);
    } finally {
      execFileSync('nft', ['delete', 'table', 'ip', `firewall-${tag}`]);
    }
  });

  test(`what leaves the pod network has the address of the host, ${name}`, async (t) => {
    const { filter, addPod, addNamespace, serve, tag, subnet } = await setUp(t, create);
    const pod = await addPod('pod', []);
    await filter.masquerade(subnet);
    // A network behind the host that knows nothing of the pods.
    const outside = addNamespace('outside');
    const ip = (...args: string[]) => execFileSync('ip', args);
    const inside = (...args: string[]) => execFileSync('nsenter', [`--net=${outside}`, 'ip', ...args]);
    ip('link', 'add', `o${tag}`, 'type', 'veth', 'peer', 'name', `p${tag}`);
    ip('link', 'set', `p${tag}`, 'netns', outside);
    ip('address', 'add', '198.18.77.1/30', 'dev', `o${tag}`);
    ip('link', 'set', `o${tag}`, 'up');
    inside('address', 'add', '198.18.77.2/30', 'dev', `p${tag}`);
    inside('link', 'set', `p${tag}`, 'up');
    await serve(outside, 80);
    assert.equal(await ask(pod.pin, '198.18.77.2', 80), '198.18.77.1');
  });

  test(`rules of an earlier run are kept and completed, ${name}`, async (t) => {
    const { filter, addPod, serve, tag, subnet } = await setUp(t, create);
    const port = 30_000 + (Number.parseInt(tag.slice(0, 4), 16) % 10_000);
    const pod = await addPod('pod', [{ hostPort: port, containerPort: 80, protocol: 'tcp' }]);
    await serve(pod.pin, 80);
    const later = create(tag);
    await later.masquerade(subnet);
    await later.publish(
      [{ hostPort: port + 1, podPort: 80, protocol: 'tcp', podIp: pod.ips[0] ?? '' }],
      bridgeName(tag),
    );
    assert.ok(await ask(undefined, '127.0.0.1', port));
    assert.ok(await ask(undefined, '127.0.0.1', port + 1));
    await filter.clear();
    await filter.clear();
  });
}

test('the rules of an older version are replaced, and its elements stay', async (t) => {
  const { filter, subnet, tag } = await setUp(t, createNftFilter);
  const table = ['ip', `skiff-${tag}`];
  const list = () => execFileSync('nft', ['list', 'table', ...table], { encoding: 'utf8' });
  await filter.masquerade(subnet);
  const made = list();
  const older = made.replace(' ct status dnat', '').replace('iifname', 'oifname');
  execFileSync('nft', ['-f', '-'], { input: `delete table ${table.join(' ')}\n${older}` });
  assert.notEqual(list(), made);
  await createNftFilter(tag).masquerade(subnet);
  assert.equal(list(), made);
});

test('rules that somebody flushed come back with a later pod', async (t) => {
  const { filter, subnet, tag } = await setUp(t, (name) => createNftFilter(name, 1));
  const pods = () => execFileSync('nft', ['list', 'set', 'ip', `skiff-${tag}`, 'pods'], { encoding: 'utf8' });
  await filter.masquerade(subnet);
  assert.ok(pods().includes(subnet));
  execFileSync('nft', ['delete', 'table', 'ip', `skiff-${tag}`]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await filter.masquerade(subnet);
  for (const end = performance.now() + 60_000; performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    try {
      if (pods().includes(subnet)) return;
    } catch {
      // Not there yet.
    }
  }
  assert.fail('the rules are still gone');
});
