/** The CNI configuration that peers share: bridge, host-local, portmap and loopback of containernetworking-plugins. */
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { removeNetworkRules } from './leftovers.ts';

/** Where Debian keeps the plugins. */
export const pluginDirectory = '/usr/lib/cni';

/** A peer's pod network. */
export interface PeerNetwork {
  configDir: string;
  /** Of its pods: `10.200.N.0/24`. */
  subnet: string;
  /** Deletes the bridge and the rules that died runtimes left. */
  remove(): void;
}

/** Third bytes of the peers' networks, 10.200.N.0/24: each peer has a hundred to choose from. */
const firstNetwork = { containerd: 1, skiff: 101 };

/**
 * Writes a configuration with a bridge and addresses of its own, so that two runs can share the machine; all else
 * is the same for every peer.
 */
export function writePeerNetwork(directory: string, peer: 'containerd' | 'skiff'): PeerNetwork {
  const third = freeNetwork(firstNetwork[peer]);
  const name = `${peer.slice(0, 3)}${third}`;
  const configDir = join(directory, 'cni');
  mkdirSync(configDir, { recursive: true });
  const bridge = `br-${name}`;
  const subnet = `10.200.${third}.0/24`;
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
          ranges: [[{ subnet }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
  writeFileSync(join(configDir, '10-peer.conflist'), JSON.stringify(conflist, undefined, 2));
  return {
    configDir,
    subnet,
    remove: () => {
      removeNetworkRules(`peer-${name}`);
      try {
        execFileSync('ip', ['link', 'del', bridge], { stdio: 'ignore' });
      } catch {
        // No pod was ever started.
      }
    },
  };
}

/** A network that no interface has; random, since a peer makes its bridge only with its first pod. */
function freeNetwork(first: number): number {
  const taken = execFileSync('ip', ['-brief', 'address'], { encoding: 'utf8' });
  const free = Array.from({ length: 100 }, (_, index) => first + index).filter(
    (each) => !taken.includes(`10.200.${each}.`),
  );
  const third = free[randomInt(Math.max(1, free.length))];
  if (third === undefined)
    throw new Error('All networks 10.200.N.0/24 of the peers are taken: delete old bridges');
  return third;
}
