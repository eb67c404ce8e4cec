/** The packet filter through nftables: one `nft -f -` for each change, nothing for pods without ports. */
import { writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { SkiffError } from '#foundation/base/errors.ts';
import { tryCommand } from '#foundation/linux/command.ts';
import type { PacketFilter, PublishedPort } from './index.ts';
import { currentRule, type Family, tableName, tableText } from './nft-table.ts';

/** Milliseconds that rules are taken to be there; others may have flushed them (a firewall that is reloaded). */
const trustMs = 30_000;

/** Milliseconds that one command may take: the first has the kernel load a dozen modules, which emulation does slowly. */
const commandMs = 60_000;

/** Makes the filter of a root. @param trust milliseconds until rules are looked at again. */
export function createNftFilter(tag: string, trust = trustMs): PacketFilter {
  const table = tableName(tag);
  /** Networks whose rule is known to be there; the promise is shared by those who ask at once. */
  const masqueraded = new Map<string, Promise<void>>();
  const seen = new Map<string, number>();
  const exists = new Map<Family, Promise<void>>();
  const ensureTable = (family: Family) => once(exists, family, () => makeTable(family, tag));
  return {
    async masquerade(network) {
      const family = familyOf(network);
      const ensure = async () => {
        seen.set(network, performance.now());
        await ensureTable(family);
        await nft(`add element ${family} ${table} pods { ${network} }`);
      };
      if (masqueraded.has(network) && performance.now() - (seen.get(network) ?? 0) > trust) {
        // Looked at again beside the pod that asks, which need not wait; it heals those before it too.
        masqueraded.delete(network);
        exists.delete(family);
        once(masqueraded, network, ensure).catch(() => {});
        return;
      }
      await once(masqueraded, network, ensure);
    },
    async publish(ports, device) {
      for (const family of familiesOf(ports)) await ensureTable(family);
      allowLoopback(device);
      const devices = familiesOf(ports).map(
        (family) => `add element ${family} ${table} pod_devices { "${device}" }`,
      );
      const result = await tryNft([...devices, ...elements('create', table, ports)].join('\n'));
      if (result.exitCode !== 0) throw await publishFailed(ports, result.stderr);
    },
    async unpublish(ports) {
      // One after another: one that is not there must not keep the others.
      const all = await tryNft(elements('delete', table, ports).join('\n'));
      if (all.exitCode === 0) return;
      for (const line of elements('delete', table, ports)) {
        const { exitCode, stderr } = await tryNft(line);
        if (exitCode !== 0 && !stderr.includes('No such file')) throw nftFailed(stderr);
      }
    },
    async isPublished(ports) {
      const result = await tryNft(elements('get', table, ports).join('\n'));
      return result.exitCode === 0;
    },
    async clear() {
      for (const family of ['ip', 'ip6'] as const) {
        const { exitCode, stderr } = await tryNft(`delete table ${family} ${table}`);
        if (exitCode !== 0 && !stderr.includes('No such file')) throw nftFailed(stderr);
      }
      masqueraded.clear();
      exists.clear();
    },
  };
}

/** A table that another run of this root made is kept, with its elements. */
async function makeTable(family: Family, tag: string): Promise<void> {
  const present = await tryNft(`list chain ${family} ${tableName(tag)} postrouting`);
  if (present.exitCode === 0 && present.stdout.toString().includes(currentRule)) return;
  await nft(tableText(family, tag));
}

/** Runs `work` once for each key; after a failure, again. */
function once<K>(done: Map<K, Promise<void>>, key: K, work: () => Promise<void>): Promise<void> {
  const before = done.get(key);
  if (before !== undefined) return before;
  const running = work();
  done.set(key, running);
  running.catch(() => done.delete(key));
  return running;
}

/** The commands for the elements of some ports. */
function elements(
  verb: 'create' | 'delete' | 'get',
  table: string,
  ports: readonly PublishedPort[],
): string[] {
  const unique = new Map<string, string>();
  for (const { hostIp, hostPort, protocol, podIp, podPort } of ports) {
    const family = familyOf(podIp);
    const key = `${protocol} . ${hostPort}`;
    const target = verb === 'create' ? ` : ${podIp} . ${podPort}` : '';
    const [map, full] = hostIp === undefined ? ['ports', key] : ['ports_at', `${hostIp} . ${key}`];
    unique.set(`${family} ${map} ${full}`, `${verb} element ${family} ${table} ${map} { ${full}${target} }`);
    // Several addresses may publish one port number: adding it twice is fine, and so is a leftover.
    if (verb === 'create')
      unique.set(`${family} published ${key}`, `add element ${family} ${table} published { ${key} }`);
  }
  return [...unique.values()];
}

async function publishFailed(ports: readonly PublishedPort[], stderr: string): Promise<SkiffError> {
  if (!stderr.includes('File exists')) return nftFailed(stderr);
  const names = ports.map(({ hostPort, protocol }) => `${hostPort}/${protocol}`);
  return new SkiffError(
    'ALREADY_EXISTS',
    `A host port of ${[...new Set(names)].join(', ')} is published by another pod; choose another hostPort`,
  );
}

function familyOf(address: string): Family {
  return isIPv6(address.split('/')[0] ?? '') ? 'ip6' : 'ip';
}

function familiesOf(ports: readonly PublishedPort[]): Family[] {
  return [...new Set(ports.map(({ podIp }) => familyOf(podIp)))];
}

/** Lets 127.0.0.1 leave by the pods' interface, for connections of the host itself; `guard` keeps others out. */
function allowLoopback(device: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv4/conf/${device}/route_localnet`, '1', { flag: 'r+' });
  } catch {
    // No such interface, or one behind a kind of network that has none: other addresses work all the same.
  }
}

function tryNft(input: string) {
  return tryCommand({ file: 'nft', args: ['-f', '-'], input: `${input}\n`, timeoutMs: commandMs });
}

async function nft(input: string): Promise<void> {
  const { exitCode, stderr } = await tryNft(input);
  if (exitCode !== 0) throw nftFailed(stderr);
}

function nftFailed(stderr: string): SkiffError {
  return new SkiffError(
    'INTERNAL',
    `Cannot change the packet filter: nft says "${stderr.trim().slice(0, 500)}"`,
  );
}
