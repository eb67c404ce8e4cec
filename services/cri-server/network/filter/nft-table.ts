/**
 * The nftables rules of one root: a table for each family. Rules are static; pods only add elements to sets and
 * maps, so that the time for a packet does not grow with the number of pods. See nft(8).
 */

/** The two families, as nft names their tables. */
export type Family = 'ip' | 'ip6';

/** What differs between the families. */
const families = {
  ip: { type: 'ipv4_addr', multicast: '224.0.0.0/4', loopback: '127.0.0.0/8' },
  ip6: { type: 'ipv6_addr', multicast: 'ff00::/8', loopback: '::1' },
} as const;

/** Bit 13 marks packets to masquerade, as the portmap plugin and the kubelet do: their rules may do it before these. */
const mark = '0x2000';
const allButMark = '0xffffdfff';

/** The name of a root's tables. */
export function tableName(tag: string): string {
  return `skiff-${tag}`;
}

/** In what `nft list chain` says of `postrouting`: a table whose chain has it not was made by an older version. */
export const currentRule = 'ct status dnat';

/**
 * Input for `nft -f -` that makes a family's table. If it is there, its rules are replaced in the same transaction and
 * its elements stay.
 *
 * - `pods`: networks whose traffic is masqueraded when it leaves them.
 * - `ports`: published on every address; `ports_at`: on one; `published`: both, to know what to masquerade.
 * - Connections to a published port from the pods (hairpin) and from the host's loopback get the host's address,
 *   or the answer would take another way back. Only those that are led to a pod keep the mark for it: one to a port
 *   that is published no longer must reach the host as it is, to be refused, and not as one from outside to
 *   127.0.0.1, which firewalls drop (the kubelet's and kube-proxy's rules do).
 * - `pod_devices`: the pods' interfaces. They let 127.0.0.1 leave the host for that; nothing may enter by it.
 */
export function tableText(family: Family, tag: string): string {
  const { type, multicast, loopback } = families[family];
  return `
add table ${family} ${tableName(tag)}
flush table ${family} ${tableName(tag)}
table ${family} ${tableName(tag)} {
  set pods { type ${type}; flags interval; }
  set pod_devices { type ifname; }
  set published { type inet_proto . inet_service; }
  map ports { type inet_proto . inet_service : ${type} . inet_service; }
  map ports_at { type ${type} . inet_proto . inet_service : ${type} . inet_service; }
  chain hostports {
    ${family} saddr @pods meta l4proto . th dport @published meta mark set meta mark or ${mark}
    ${family} saddr ${loopback} meta l4proto . th dport @published meta mark set meta mark or ${mark}
    dnat ${family} to ${family} daddr . meta l4proto . th dport map @ports_at
    dnat ${family} to meta l4proto . th dport map @ports
    meta l4proto . th dport @published meta mark set meta mark and ${allButMark}
  }
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname @pod_devices ${family} daddr ${loopback} drop
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump hostports
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump hostports
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    meta mark and ${mark} == ${mark} ${currentRule} masquerade
    ${family} saddr @pods ${family} daddr != @pods ${family} daddr != ${multicast} masquerade
  }
}
`;
}
