import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { pathsUnder } from '#foundation/base/paths.ts';
import {
  currentNamespace,
  inNewNamespaces,
  pinNamespace,
  prepareNamespaces,
  unpinNamespace,
} from '#foundation/linux/namespaces.ts';
import { leakCheck } from '../../../../test/leaks.ts';
import { type Attachment, addChain, checkChain, deleteChain } from '../cni/chain.ts';
import { parseConfig } from '../cni/config.ts';
import { createExecutingRunner } from '../cni/execute.ts';
import type { CniResult, PluginRunner } from '../cni/types.ts';
import { removeDefaultBridge } from '../default-bridge.ts';
import { bridgeName } from '../default-config.ts';
import { createNftFilter } from '../filter/nft.ts';
import { createPluginRunner } from './index.ts';

const signal = new AbortController().signal;
const executing = createExecutingRunner({ binDirs: ['/usr/lib/cni'], timeoutMs: 20_000 });
const refusing: PluginRunner = {
  run: async ({ config }) => assert.fail(`plugin ${config.type} was executed`),
};

async function setUp(t: TestContext) {
  await prepareNamespaces();
  const root = mkdtempSync('/tmp/skiff-cni-');
  const leaks = leakCheck(root);
  const { tag } = pathsUnder(root);
  const filter = createNftFilter(tag);
  mkdirSync(`${root}/ns`);
  const second = Number.parseInt(tag.slice(0, 2), 16);
  const subnets = {
    v4: `10.${96 + (second % 32)}.${Number.parseInt(tag.slice(2, 4), 16)}.0/24`,
    v6: `fd96:${tag.slice(0, 4)}::/64`,
  };
  const list = (extra: object = {}, version = '1.0.0') =>
    parseConfig(
      JSON.stringify({
        cniVersion: version,
        name: `net-${tag}`,
        plugins: [
          {
            type: 'bridge',
            bridge: bridgeName(tag),
            isGateway: true,
            hairpinMode: true,
            ipam: {
              type: 'host-local',
              dataDir: `${root}/leases`,
              ranges: [[{ subnet: subnets.v4 }], [{ subnet: subnets.v6 }]],
              routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
            },
            ...extra,
          },
          { type: 'portmap', capabilities: { portMappings: true } },
          { type: 'bandwidth', capabilities: { bandwidth: true } },
        ],
      }),
      'test',
    );
  const pins: string[] = [];
  const netns = (name: string) => {
    const pin = `${root}/ns/${name}`;
    inNewNamespaces(['net'], () => pinNamespace(currentNamespace('net'), pin));
    pins.push(pin);
    return pin;
  };
  t.after(async () => {
    for (const pin of pins) unpinNamespace(pin);
    removeDefaultBridge(tag);
    await filter.clear();
    await leaks.assertClean();
    rmSync(root, { recursive: true });
  });
  const native = createPluginRunner(refusing, filter);
  return { root, tag, list, netns, native, filter, leases: `${root}/leases/net-${tag}`, subnets };
}

const attachment = (list: Attachment['list'], containerId: string, capabilities = {}): Attachment => ({
  list,
  containerId,
  ifName: 'eth0',
  args: '',
  capabilities,
});

/** What is the same for every pod: addresses, names and MACs of single pods are replaced. */
function shape(result: CniResult): object {
  return JSON.parse(
    JSON.stringify(result)
      .replaceAll(/veth[0-9a-f]{8}/g, 'vethX')
      .replaceAll(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, 'MAC')
      .replaceAll(/\/ns\/\w+/g, '/ns/X')
      .replaceAll(/(10\.\d+\.\d+|fd96:[0-9a-f]+::?)[.:]?\d*\//g, '$1.X/'),
  );
}

/** The kernel's side of a pod, without what is random. */
function kernelState(netns: string) {
  const inside = (...args: string[]) =>
    execFileSync('nsenter', [`--net=${netns}`, ...args], { encoding: 'utf8' });
  const hide = (text: string) =>
    text
      .replaceAll(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, 'MAC')
      .replaceAll(/fe80::[0-9a-f:]+/g, 'LL')
      .replaceAll(/(10\.\d+\.\d+|fd96:[0-9a-f]+::?)[.:]?\d+(?=\/| |$)/gm, '$1.X')
      .replaceAll(/eth0@if\d+/g, 'eth0@ifN')
      .replaceAll(/ tentative| dynamic/g, '');
  const addresses = hide(inside('ip', 'address', 'show', 'dev', 'eth0'))
    .split('\n')
    .filter((line) => !/valid_lft/.test(line));
  const keys = [
    'ipv4.conf.eth0.arp_notify',
    'ipv6.conf.eth0.accept_dad',
    'ipv6.conf.eth0.enhanced_dad',
    'ipv6.conf.eth0.keep_addr_on_down',
    'ipv6.conf.eth0.disable_ipv6',
  ];
  return {
    addresses: addresses.map((line) => line.trim()),
    routes: hide(inside('ip', 'route')).split('\n').toSorted(),
    routes6: hide(inside('ip', '-6', 'route'))
      .split('\n')
      .filter((line) => !line.includes('LL'))
      .toSorted(),
    sysctls: inside('sysctl', '-n', ...keys.map((key) => `net.${key}`)).split('\n'),
  };
}

function hostState(bridge: string) {
  const show = (...args: string[]) => execFileSync(args[0] ?? '', args.slice(1), { encoding: 'utf8' });
  const ports = JSON.parse(show('ip', '-j', '-d', 'link', 'show', 'master', bridge)) as {
    operstate: string;
    linkinfo: { info_slave_data: { hairpin: boolean } };
  }[];
  const [link] = JSON.parse(show('ip', '-j', '-d', 'address', 'show', 'dev', bridge)) as {
    addr_info: { local: string; prefixlen: number; broadcast?: string; scope: string }[];
  }[];
  return {
    ports: ports.map((port) => ({ up: port.operstate, hairpin: port.linkinfo.info_slave_data.hairpin })),
    addresses: link?.addr_info
      .filter(({ scope }) => scope === 'global')
      .map(({ local, prefixlen, broadcast }) => ({ local, prefixlen, broadcast })),
    acceptRa: show('sysctl', '-n', `net.ipv6.conf.${bridge}.accept_ra`).trim(),
  };
}

for (const version of ['0.3.1', '0.4.0', '1.0.0']) {
  test(`the chain in this process leaves what the executed one leaves, CNI ${version}`, async (t) => {
    const { list, netns, native, tag, leases } = await setUp(t);
    const seen: object[] = [];
    for (const [name, runner] of [
      ['executed', executing],
      ['native', native],
    ] as const) {
      const pin = netns(name);
      const place = attachment(list({}, version), name);
      const result = await addChain(runner, place, pin, signal);
      const state = { result: shape(result), pod: kernelState(pin), host: hostState(bridgeName(tag)) };
      const files = readdirSync(leases)
        .filter((file) => file !== 'lock')
        .map((file) =>
          readFileSync(`${leases}/${file}`, 'utf8')
            .replace(name, 'ID')
            .replaceAll(/[.:]\d+$/g, '.X'),
        );
      seen.push({ ...state, files: files.toSorted() });
      // Debian's bandwidth plugin crashes at a CHECK without limits.
      if (runner === native) await checkChain(runner, place, pin, result, signal);
      await deleteChain(runner, place, pin, result, signal);
      await deleteChain(runner, place, '', result, signal);
      assert.deepEqual(
        readdirSync(leases).filter((file) => /^(10|fd96)/.test(file)),
        [],
      );
      unpinNamespace(pin);
      removeDefaultBridge(tag);
    }
    assert.deepEqual(seen[1], seen[0]);
  });
}

test('both kinds share one directory of leases, and a full range says so', async (t) => {
  const { list, netns, native, subnets, leases } = await setUp(t);
  const small = list({
    ipam: {
      type: 'host-local',
      dataDir: leases.replace(/\/[^/]*$/, ''),
      subnet: subnets.v4.replace('.0/24', '.0/29'),
    },
  });
  const places: { place: Attachment; pin: string; runner: PluginRunner; result: CniResult }[] = [];
  for (let count = 0; count < 5; count += 1) {
    const runner = count % 2 === 0 ? native : executing;
    const pin = netns(`n${count}`);
    const place = attachment(small, `c${count}`);
    places.push({ place, pin, runner, result: await addChain(runner, place, pin, signal) });
  }
  const given = places.map(({ result }) => result.ips?.[0]?.address.split('.').at(-1));
  assert.deepEqual(given, ['2/29', '3/29', '4/29', '5/29', '6/29']);
  await assert.rejects(addChain(native, attachment(small, 'x'), netns('x'), signal), {
    code: 'RESOURCE_EXHAUSTED',
    message: /no address is left in 10\..*\.1-10\..*\.6/,
  });
  // Each is released by the other kind.
  for (const { place, pin, runner, result } of places)
    await deleteChain(runner === native ? executing : native, place, pin, result, signal);
  assert.deepEqual(
    readdirSync(leases).filter((file) => file.startsWith('10.')),
    [],
  );
});

test('fifty pods at once get fifty addresses', async (t) => {
  const { list, netns, native, leases } = await setUp(t);
  const pods = Array.from({ length: 50 }, (_, at) => ({
    place: attachment(list(), `p${at}`),
    pin: netns(`p${at}`),
  }));
  const results = await Promise.all(pods.map(({ place, pin }) => addChain(native, place, pin, signal)));
  assert.equal(new Set(results.map((result) => result.ips?.[0]?.address)).size, 50);
  await Promise.all(pods.map(({ place, pin }, at) => deleteChain(native, place, pin, results[at], signal)));
  assert.deepEqual(
    readdirSync(leases).filter((file) => /^(10|fd96)/.test(file)),
    [],
  );
});

test('an unknown key or a limit sends the plugin to the executed one', async (t) => {
  const { list, native, netns } = await setUp(t);
  await assert.rejects(
    addChain(native, attachment(list({ vlan: 3 }), 'v'), netns('v'), signal),
    /plugin bridge was executed/,
  );
  const bandwidth = { ingressRate: 1000, ingressBurst: 1000 };
  await assert.rejects(
    addChain(native, attachment(list(), 'b', { bandwidth }), netns('b'), signal),
    /plugin bandwidth was executed/,
  );
});
