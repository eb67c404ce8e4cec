/** The CNI configuration that peers share: bridge, host-local, portmap and loopback of containernetworking-plugins. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where Debian keeps the plugins. */
export const pluginDirectory = '/usr/lib/cni';

/** A peer's pod network. */
export interface PeerNetwork {
  configDir: string;
  /** Deletes the bridge. */
  remove(): void;
}

/**
 * Writes a configuration with a bridge and addresses of its own; all else is the same for every peer.
 *
 * @param name up to 8 characters: the bridge is `br-NAME`.
 * @param third the third byte of its network, 10.200.N.0/24.
 */
export function writePeerNetwork(directory: string, name: string, third: number): PeerNetwork {
  const configDir = join(directory, 'cni');
  mkdirSync(configDir, { recursive: true });
  const bridge = `br-${name}`;
  const conflist = {
    cniVersion: '1.0.0',
    name: `peer-${name}`,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: join(directory, 'leases'),
          ranges: [[{ subnet: `10.200.${third}.0/24` }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
  writeFileSync(join(configDir, '10-peer.conflist'), JSON.stringify(conflist, undefined, 2));
  return {
    configDir,
    remove: () => {
      try {
        execFileSync('ip', ['link', 'del', bridge], { stdio: 'ignore' });
      } catch {
        // No pod was ever started.
      }
    },
  };
}
