/** The node's addresses: those it was told, else those of the interface with the default route. */
import { readFileSync } from 'node:fs';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

/**
 * The node's IP addresses, at most one for each family, IPv4 first unless told otherwise.
 *
 * @param told `--node-ip`; empty to find out.
 */
export function nodeAddresses(told: readonly string[]): string[] {
  if (told.length > 0) return [...told];
  const interfaces = networkInterfaces();
  const preferred = defaultInterface() ?? '';
  const candidates = [
    ...(interfaces[preferred] ?? []),
    ...Object.values(interfaces).flatMap((each) => each ?? []),
  ];
  const usable = candidates.filter(isUsable);
  const v4 = usable.find((address) => address.family === 'IPv4')?.address;
  const v6 = usable.find((address) => address.family === 'IPv6')?.address;
  const found = [v4, v6].filter((address) => address !== undefined);
  // A machine without a network still runs pods that ask for the host's address.
  return found.length > 0 ? found : ['127.0.0.1'];
}

function isUsable(address: NetworkInterfaceInfo): boolean {
  return !address.internal && !address.address.startsWith('fe80:') && !address.address.startsWith('169.254.');
}

/** The interface of the default route: /proc/net/route, destination 00000000 with the least metric. */
export function defaultInterface(): string | undefined {
  try {
    const rows = readFileSync('/proc/net/route', 'utf8').trim().split('\n').slice(1);
    const routes = rows
      .map((row) => row.split(/\s+/))
      .filter(([, destination, , , , , , mask]) => {
        return destination === '00000000' && mask === '00000000';
      });
    return routes.sort((a, b) => Number(a[6]) - Number(b[6]))[0]?.[0];
  } catch {
    return undefined;
  }
}
