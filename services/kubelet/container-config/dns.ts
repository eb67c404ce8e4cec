/** resolv.conf of a pod: its dnsPolicy and dnsConfig over the node's file (core/v1 PodSpec.dnsPolicy). */
import { readFileSync } from 'node:fs';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** The three lists of a resolv.conf. */
export interface DnsLists {
  servers: string[];
  searches: string[];
  options: string[];
}

/** The kubelet's DNS settings. */
export interface DnsSettings {
  clusterDns: readonly string[];
  /** Empty for none. */
  clusterDomain: string;
  /** The node's resolv.conf; empty for none. */
  resolvConf: string;
}

/** Limits of resolv.conf(5) as Kubernetes validates them. */
const limits = { servers: 3, searches: 32, searchCharacters: 2048 };

/** What a pod gets, and what a person should hear of it. */
export interface PodDns {
  dns: DnsLists;
  /** Events for the pod: reason and message. */
  warnings: { reason: string; message: string }[];
}

/** Builds a pod's DNS lists. @throws SkiffError if the node's file cannot be read or the policy is unknown. */
export function podDns(pod: Pod, settings: DnsSettings): PodDns {
  const warnings: PodDns['warnings'] = [];
  const base = policyLists(pod, settings, warnings);
  const own = pod.spec.dnsConfig ?? {};
  const merged = {
    servers: unique([...base.servers, ...(own.nameservers ?? [])]),
    searches: unique([...base.searches, ...(own.searches ?? [])]),
    options: mergeOptions(base.options, own.options ?? []),
  };
  return { dns: limited(merged, warnings), warnings };
}

function policyLists(pod: Pod, settings: DnsSettings, warnings: PodDns['warnings']): DnsLists {
  const policy = pod.spec.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { servers: [], searches: [], options: [] };
  const cluster =
    policy === 'ClusterFirstWithHostNet' || (policy === 'ClusterFirst' && pod.spec.hostNetwork !== true);
  const node = nodeLists(settings.resolvConf);
  if (cluster && settings.clusterDns.length > 0) return clusterLists(pod, settings, node);
  if (cluster)
    warnings.push({
      reason: 'MissingClusterDNS',
      message: `kubelet does not have ClusterDNS IP configured and cannot create Pod using "${policy}" policy. Falling back to "Default" policy.`,
    });
  // No file at all means no DNS rather than the runtime's idea of it.
  return settings.resolvConf === '' ? { servers: ['127.0.0.1'], searches: ['.'], options: [] } : node;
}

function clusterLists(pod: Pod, settings: DnsSettings, node: DnsLists): DnsLists {
  const domain = settings.clusterDomain;
  const own =
    domain === '' ? [] : [`${pod.metadata.namespace ?? 'default'}.svc.${domain}`, `svc.${domain}`, domain];
  return {
    servers: [...settings.clusterDns],
    searches: unique([...own, ...node.searches]),
    options: ['ndots:5'],
  };
}

function nodeLists(path: string): DnsLists {
  if (path === '') return { servers: [], searches: [], options: [] };
  try {
    return parseResolvConf(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new SkiffError('FAILED_PRECONDITION', `Cannot read the node's DNS settings from ${path}`, {
      cause: error,
    });
  }
}

/** Parses resolv.conf(5): the last search line wins, comments begin with `#` or `;`. */
export function parseResolvConf(text: string): DnsLists {
  const lists: DnsLists = { servers: [], searches: [], options: [] };
  for (const raw of text.split('\n')) {
    const fields = raw.trim().split(/\s+/);
    const [key, ...values] = fields;
    if (key === 'nameserver' && values[0] !== undefined) lists.servers.push(values[0]);
    if (key === 'search')
      lists.searches = values.map((each) => (each.length > 1 ? each.replace(/\.$/, '') : each));
    if (key === 'options')
      lists.options = mergeOptions(
        lists.options,
        values.map((value) => optionOf(value)),
      );
  }
  lists.searches = lists.searches.filter((each) => each !== '.');
  return lists;
}

interface DnsOption {
  name?: string;
  value?: string;
}

function optionOf(text: string): DnsOption {
  const at = text.indexOf(':');
  return at < 0 ? { name: text } : { name: text.slice(0, at), value: text.slice(at + 1) };
}

/** Options by name; the later value wins and takes the earlier one's place. */
function mergeOptions(base: readonly string[], added: readonly DnsOption[]): string[] {
  const merged = new Map<string, string | undefined>();
  for (const { name, value } of [...base.map(optionOf), ...added])
    if (name !== undefined) merged.set(name, value);
  return [...merged].map(([name, value]) =>
    value === undefined || value === '' ? name : `${name}:${value}`,
  );
}

function limited(lists: DnsLists, warnings: PodDns['warnings']): DnsLists {
  const servers = lists.servers.slice(0, limits.servers);
  if (servers.length < lists.servers.length)
    warnings.push({
      reason: 'DNSConfigForming',
      message: `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${servers.join(' ')}`,
    });
  const searches = lists.searches.slice(0, limits.searches);
  while (searches.join(' ').length > limits.searchCharacters) searches.pop();
  if (searches.length < lists.searches.length)
    warnings.push({
      reason: 'DNSConfigForming',
      message: `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${searches.join(' ')}`,
    });
  return { ...lists, servers, searches };
}

function unique(values: string[]): string[] {
  return [...new Set(values)];
}
