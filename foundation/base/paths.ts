/** Where Skiff keeps things. Everything moves under another root with `--root`, so that nodes can share a machine. */
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';

/** Every place Skiff writes to. All absolute. */
export interface Paths {
  /** `/` for the machine's own node, else the directory given with `--root`. */
  readonly root: string;
  /** Durable state: `/var/lib/skiff`. */
  readonly lib: string;
  /** State that ends with a reboot (sockets, namespaces, attach, exits): `/run/skiff`. */
  readonly run: string;
  /** `/var/log/pods`. */
  readonly podLogs: string;
  /** `/var/log/containers`. */
  readonly containerLogs: string;
  /** The kubelet's root directory: `/var/lib/skiff/kubelet`. */
  readonly kubelet: string;
  /** Configuration: `/etc/skiff`. */
  readonly etc: string;
  /** The CRI server's socket. */
  readonly criSocket: string;
  /** Six hex digits that tell this root from others in names that the whole machine shares (interfaces, cgroups). */
  readonly tag: string;
}

/** The places under `root`; `/` gives the machine's own. */
export function pathsUnder(root = '/'): Paths {
  const absolute = resolve(root);
  const at = (...parts: string[]) => join(absolute, ...parts);
  const own = absolute === '/';
  const run = own ? '/run/skiff' : at('run');
  const lib = own ? '/var/lib/skiff' : at('lib');
  return {
    root: absolute,
    lib,
    run,
    podLogs: own ? '/var/log/pods' : at('log', 'pods'),
    containerLogs: own ? '/var/log/containers' : at('log', 'containers'),
    kubelet: join(lib, 'kubelet'),
    etc: own ? '/etc/skiff' : at('etc'),
    criSocket: join(run, 'cri.sock'),
    tag: createHash('sha256').update(absolute).digest('hex').slice(0, 6),
  };
}
