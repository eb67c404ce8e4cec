/** Counters of a pod's network interfaces: /proc/net/dev of its namespace, proc_pid_net(5). */
import { readFileSync } from 'node:fs';
import { inNamespaces } from '#foundation/linux/namespaces.ts';

/** Counters of one interface since it was made. */
export interface InterfaceCounters {
  name: string;
  rxBytes: bigint;
  rxPackets: bigint;
  rxErrors: bigint;
  rxDropped: bigint;
  txBytes: bigint;
  txPackets: bigint;
  txErrors: bigint;
  txDropped: bigint;
}

/** The interface that CNI gives every pod. */
export const podInterface = 'eth0';

/**
 * The interfaces of a network namespace, the loopback left out.
 *
 * @param network path of the namespace; an unreadable one has no interfaces.
 */
export function readInterfaces(network: string): InterfaceCounters[] {
  try {
    return parseNetDev(
      inNamespaces({ net: network }, () => readFileSync('/proc/thread-self/net/dev', 'utf8')),
    );
  } catch {
    return [];
  }
}

/** Parses /proc/net/dev. */
export function parseNetDev(text: string): InterfaceCounters[] {
  return text
    .split('\n')
    .slice(2)
    .map((line) => line.trim().split(/[\s:]+/))
    .filter(([name, ...counters]) => name !== undefined && name !== 'lo' && counters.length >= 16)
    .map(([name = '', ...counters]) => {
      const at = (index: number) => BigInt(counters[index] ?? '0');
      return {
        name,
        rxBytes: at(0),
        rxPackets: at(1),
        rxErrors: at(2),
        rxDropped: at(3),
        txBytes: at(8),
        txPackets: at(9),
        txErrors: at(10),
        txDropped: at(11),
      };
    });
}
