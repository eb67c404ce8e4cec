/**
 * The packet filter through iptables, for hosts without nftables: chains of this root's own in the nat table,
 * entered from the built-in ones, and changed with one `iptables-restore --noflush` each time.
 */
import { writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { SkiffError } from '#foundation/base/errors.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import { tryCommand } from '#foundation/linux/command.ts';
import type { PacketFilter, PublishedPort } from './index.ts';

const families = {
  4: { tool: 'iptables', multicast: '224.0.0.0/4', loopback: '127.0.0.0/8' },
  6: { tool: 'ip6tables', multicast: 'ff00::/8', loopback: '::1/128' },
} as const;
type Family = keyof typeof families;

/** Seconds to wait for the lock that all iptables programs share. */
const lockWait = ['-w', '10'];

/** Makes the filter of a root. */
export function createIptablesFilter(tag: string): PacketFilter {
  const locks = keyedLocks();
  const masqueraded = new Set<string>();
  const alone = <T>(family: Family, work: () => Promise<T>) => locks.run(String(family), work);
  return {
    async masquerade(network) {
      const family = familyOf(network);
      await alone(family, async () => {
        if (masqueraded.has(network)) return;
        const rules = await ensureChains(family, tag);
        const wanted = masqueradeRules(family, tag, network).filter((rule) => !rules.includes(rule));
        if (wanted.length > 0) await restore(family, wanted);
        masqueraded.add(network);
      });
    },
    async publish(ports, device) {
      allowLoopback(device);
      for (const family of familiesOf(ports)) {
        await alone(family, async () => {
          const rules = await ensureChains(family, tag);
          const wanted = portRules(family, tag, ports);
          refuseTaken(rules, wanted, tag);
          await restore(family, [
            ...guardRule(family, tag, device, rules),
            ...wanted.filter((rule) => !rules.includes(rule)),
          ]);
        });
      }
    },
    async unpublish(ports) {
      for (const family of familiesOf(ports)) {
        await alone(family, async () => {
          const rules = await listRules(family, tag);
          const present = portRules(family, tag, ports).filter((rule) => rules.includes(rule));
          if (present.length > 0)
            await restore(
              family,
              present.map((rule) => rule.replace(/^-A/, '-D')),
            );
        });
      }
    },
    async isPublished(ports) {
      for (const family of familiesOf(ports)) {
        const rules = await listRules(family, tag);
        if (portRules(family, tag, ports).some((rule) => !rules.includes(rule))) return false;
      }
      return true;
    },
    async clear() {
      for (const family of [4, 6] as const) await alone(family, () => clearFamily(family, tag));
      masqueraded.clear();
    },
  };
}

/** The chains of a root; 28 bytes is the longest name iptables takes. */
function chains(tag: string) {
  return { dnat: `SKIFF-DNAT-${tag}`, post: `SKIFF-POST-${tag}` };
}

/** How the built-in chains lead to this root's own. */
function jumps(tag: string): string[] {
  const { dnat, post } = chains(tag);
  const local = '-m addrtype --dst-type LOCAL';
  return [`-A PREROUTING ${local} -j ${dnat}`, `-A OUTPUT ${local} -j ${dnat}`, `-A POSTROUTING -j ${post}`];
}

/** Makes the chains if need be. @returns the rules that are there, as iptables-save prints them. */
async function ensureChains(family: Family, tag: string): Promise<string[]> {
  const rules = await listRules(family, tag);
  const { dnat, post } = chains(tag);
  const missing = jumps(tag).filter((jump) => !rules.includes(jump));
  if (missing.length > 0) await restore(family, [`:${dnat} - [0:0]`, `:${post} - [0:0]`, ...missing]);
  return rules;
}

/** Traffic from the pods' network that goes elsewhere; what goes to another pod of it stays as it is. */
function masqueradeRules(family: Family, tag: string, network: string): string[] {
  const { post } = chains(tag);
  const { multicast } = families[family];
  return [
    `-A ${post} -s ${network} -d ${network} -m conntrack ! --ctstate DNAT -j RETURN`,
    `-A ${post} -s ${network} ! -d ${multicast} -m conntrack ! --ctstate DNAT -j MASQUERADE`,
  ];
}

/** For each port: to the pod; and back by way of the host for the pods' side and the host's loopback. */
function portRules(family: Family, tag: string, ports: readonly PublishedPort[]): string[] {
  const { dnat, post } = chains(tag);
  const { loopback } = families[family];
  const own = ports.filter(({ podIp }) => familyOf(podIp) === family);
  return own.flatMap(({ hostIp, hostPort, protocol, podIp, podPort }) => {
    const bits = family === 4 ? 32 : 128;
    const at = hostIp === undefined ? '' : `-d ${hostIp}/${bits} `;
    const target = family === 4 ? `${podIp}:${podPort}` : `[${podIp}]:${podPort}`;
    const back = `-d ${podIp}/${bits} -p ${protocol} -m ${protocol} --dport ${podPort} -m conntrack --ctstate DNAT --ctorigdstport ${hostPort} -j MASQUERADE`;
    return [
      `-A ${dnat} ${at}-p ${protocol} -m ${protocol} --dport ${hostPort} -j DNAT --to-destination ${target}`,
      `-A ${post} -s ${podIp}/${bits} ${back}`,
      `-A ${post} -s ${loopback} ${back}`,
    ];
  });
}

function refuseTaken(rules: readonly string[], wanted: readonly string[], tag: string): void {
  const { dnat } = chains(tag);
  const match = (rule: string) => rule.slice(0, rule.indexOf(' -j '));
  for (const rule of wanted) {
    if (!rule.startsWith(`-A ${dnat} `)) continue;
    const rival = rules.find((present) => present !== rule && match(present) === match(rule));
    if (rival === undefined) continue;
    const port = /--dport (\d+)/.exec(rule)?.[1] ?? '';
    throw new SkiffError(
      'ALREADY_EXISTS',
      `Host port ${port} is published by another pod; choose another hostPort`,
    );
  }
}

/** Packets from pods to 127.0.0.1 would be let in by route_localnet: they are sent where nobody listens. */
function guardRule(family: Family, tag: string, device: string, rules: readonly string[]): string[] {
  if (family === 6) return [];
  const rule = `-A ${chains(tag).dnat} -d 127.0.0.0/8 -i ${device} -j DNAT --to-destination 240.0.0.1`;
  return rules.includes(rule) ? [] : [rule];
}

async function clearFamily(family: Family, tag: string): Promise<void> {
  const rules = await listRules(family, tag);
  if (rules.length === 0) return;
  const { dnat, post } = chains(tag);
  const present = jumps(tag).filter((jump) => rules.includes(jump));
  const removals = present.map((jump) => jump.replace(/^-A/, '-D'));
  await restore(family, [`:${dnat} - [0:0]`, `:${post} - [0:0]`, ...removals, `-X ${dnat}`, `-X ${post}`]);
}

/** Rules and chains of this root in the nat table. */
async function listRules(family: Family, tag: string): Promise<string[]> {
  const { exitCode, stdout, stderr } = await tryCommand({
    file: families[family].tool,
    args: [...lockWait, '-t', 'nat', '-S'],
  });
  if (exitCode !== 0) throw failed(family, stderr);
  return stdout
    .toString()
    .split('\n')
    .filter((line) => line.includes(tag));
}

async function restore(family: Family, lines: readonly string[]): Promise<void> {
  const input = `*nat\n${lines.join('\n')}\nCOMMIT\n`;
  const args = ['--noflush', ...lockWait];
  const { exitCode, stderr } = await tryCommand({ file: `${families[family].tool}-restore`, args, input });
  if (exitCode !== 0) throw failed(family, stderr);
}

function allowLoopback(device: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv4/conf/${device}/route_localnet`, '1', { flag: 'r+' });
  } catch {
    // No such interface: the host's other addresses work all the same.
  }
}

function familyOf(address: string): Family {
  return isIPv6(address.split('/')[0] ?? '') ? 6 : 4;
}

function familiesOf(ports: readonly PublishedPort[]): Family[] {
  return [...new Set(ports.map(({ podIp }) => familyOf(podIp)))];
}

function failed(family: Family, stderr: string): SkiffError {
  const { tool } = families[family];
  return new SkiffError(
    'INTERNAL',
    `Cannot change the packet filter: ${tool} says "${stderr.trim().slice(0, 500)}"`,
  );
}
