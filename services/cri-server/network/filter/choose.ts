/** Finds out which packet filter this host has. */
import { SkiffError } from '#foundation/base/errors.ts';
import { tryCommand } from '#foundation/linux/command.ts';
import type { PacketFilter } from './index.ts';
import { createIptablesFilter } from './iptables.ts';
import { createNftFilter } from './nft.ts';

/** nftables where its tool works, else iptables; one that explains itself at its first use where neither does. */
export async function choosePacketFilter(tag: string): Promise<PacketFilter> {
  if (await works('nft', ['list', 'tables'])) return createNftFilter(tag);
  if (await works('iptables', ['-w', '5', '-t', 'nat', '-S', 'POSTROUTING']))
    return createIptablesFilter(tag);
  const refuse = async () => {
    throw new SkiffError(
      'FAILED_PRECONDITION',
      'Neither nft nor iptables works here; install nftables for masquerading and host ports',
    );
  };
  return {
    masquerade: refuse,
    publish: refuse,
    unpublish: async () => {},
    isPublished: async () => false,
    clear: async () => {},
  };
}

async function works(file: string, args: string[]): Promise<boolean> {
  try {
    return (await tryCommand({ file, args, timeoutMs: 10_000 })).exitCode === 0;
  } catch {
    return false; // Not installed.
  }
}
