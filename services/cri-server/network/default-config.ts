/** Writes a first CNI configuration where there is none: a bridge of Skiff's own with addresses and host ports. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileSync } from '#foundation/base/files.ts';
import { contains, numberAddress, parseNetwork } from '#foundation/base/ip.ts';
import { listAddresses, listRoutes } from '#foundation/linux/addresses.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';

/** 10.88.0.0/13: 2,048 networks of 254 pods to choose from. */
const pool = parseNetwork('10.88.0.0/13');
const poolSize = 2048;

/** The name of the file that is written. */
export const defaultFile = '10-skiff.conflist';

/** What the file needs. */
export interface DefaultConfigRequest {
  configDir: string;
  /** Where addresses in use are recorded. */
  dataDir: string;
  /** Six hex digits that tell this root from others on the machine. */
  tag: string;
  /** The IPv4 network of the pods: `10.1.0.0/24`; a free one unless told. */
  subnet?: string;
}

/** The bridge of a root; 11 bytes, of the 15 that an interface's name may have. */
export function bridgeName(tag: string): string {
  return `skiff${tag}`;
}

/**
 * Writes `10-skiff.conflist` unless the directory has a configuration already.
 *
 * @returns the file's path if it was written.
 */
export function writeDefaultConfig({
  configDir,
  dataDir,
  tag,
  subnet,
}: DefaultConfigRequest): string | undefined {
  mkdirSync(configDir, { recursive: true, mode: 0o755 });
  if (readdirSync(configDir).some((file) => /\.(conflist|conf|json)$/.test(file))) return undefined;
  const path = join(configDir, defaultFile);
  replaceFileSync(path, defaultText(tag, dataDir, subnet ?? freeSubnet(tag)), { mode: 0o644 });
  return path;
}

/** The file's content, as long as nobody has changed it. */
export function defaultText(tag: string, dataDir: string, subnet: string): string {
  return `${JSON.stringify(defaultConfig(tag, dataDir, subnet), undefined, 2)}\n`;
}

/** The configuration: dual-stack, masqueraded, with host ports and bandwidth limits. */
export function defaultConfig(tag: string, dataDir: string, subnet: string): object {
  const ipv6 = existsSync('/proc/sys/net/ipv6'); // Not on a host started with ipv6.disable=1.
  return {
    cniVersion: '1.0.0',
    name: `skiff-${tag}`,
    plugins: [
      {
        type: 'bridge',
        bridge: bridgeName(tag),
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir,
          ranges: [
            [{ subnet }],
            ...(ipv6 ? [[{ subnet: `fd88:${tag.slice(0, 4)}:${tag.slice(4)}::/64` }]] : []),
          ],
          routes: [{ dst: '0.0.0.0/0' }, ...(ipv6 ? [{ dst: '::/0' }] : [])],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ],
  };
}

/** A /24 of the pool that no address or route of the host touches; the tag chooses where the search begins. */
function freeSubnet(tag: string): string {
  using socket = openNetlink();
  const taken = [
    ...listAddresses(socket).map(({ address }) => address),
    ...listRoutes(socket, 4).map(({ destination }) => destination.split('/')[0] ?? ''),
  ];
  const start = Number.parseInt(tag, 16);
  for (let step = 0; step < poolSize; step += 1) {
    const base = pool.base + BigInt((start + step) % poolSize) * 256n;
    const subnet = `${numberAddress(base, 4)}/24`;
    if (!taken.some((address) => contains(parseNetwork(subnet), address))) return subnet;
  }
  return `${numberAddress(pool.base, 4)}/24`;
}
