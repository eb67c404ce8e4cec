/** /etc/hosts of a pod, as the original writes it; containers of one pod share the file. */
import { readFileSync } from 'node:fs';
import type { HostAlias, Pod } from '#contracts/kubernetes/types.ts';
import { replaceFileSync } from '#foundation/base/files.ts';

const header = '# Kubernetes-managed hosts file.\n';
const hostNetworkHeader = '# Kubernetes-managed hosts file (host network).\n';

const standardRows = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::0\tip6-localnet',
  'fe00::0\tip6-mcastprefix',
  'fe00::1\tip6-allnodes',
  'fe00::2\tip6-allrouters',
];

/** What the file says about the pod itself. */
export interface HostsFacts {
  podIps: readonly string[];
  hostname: string;
  /** Empty without a subdomain. */
  domain: string;
}

/** The content for a pod with a network of its own. */
export function hostsFile(facts: HostsFacts, aliases: readonly HostAlias[]): string {
  const names = facts.domain === '' ? facts.hostname : `${facts.hostname}.${facts.domain}\t${facts.hostname}`;
  const rows = [...standardRows, ...facts.podIps.map((ip) => `${ip}\t${names}`)];
  return `${header}${rows.join('\n')}\n${aliasRows(aliases)}`;
}

/** The content for a pod in the host's network: the machine's own file first. */
function hostNetworkHostsFile(machineFile: string, aliases: readonly HostAlias[]): string {
  return `${hostNetworkHeader}${machineFile}${aliasRows(aliases)}`;
}

function aliasRows(aliases: readonly HostAlias[]): string {
  if (aliases.length === 0) return '';
  const rows = aliases.map((alias) => `${alias.ip}\t${(alias.hostnames ?? []).join('\t')}\n`);
  return `\n# Entries added by HostAliases.\n${rows.join('')}`;
}

/**
 * Writes the pod's hosts file.
 *
 * @param machineHosts path of the machine's own /etc/hosts.
 */
export function writeHostsFile(path: string, pod: Pod, facts: HostsFacts, machineHosts: string): void {
  const aliases = pod.spec.hostAliases ?? [];
  const content =
    pod.spec.hostNetwork === true
      ? hostNetworkHostsFile(readFileSync(machineHosts, 'utf8'), aliases)
      : hostsFile(facts, aliases);
  // Replaced, not rewritten: running containers keep the file they have, as with the original.
  replaceFileSync(path, content, { mode: 0o644, durable: false });
}
