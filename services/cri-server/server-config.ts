/** How a CRI server is configured. `apps/` makes this from its configuration file and options. */
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';

/** The configuration of a CRI server. */
export interface CriServerConfig {
  /** Where everything is kept. */
  paths: Paths;
  /** Skiff's version, as Version answers. */
  version: string;
  log: Logger;
  cni: CniConfig;
}

/** The pod network. */
export interface CniConfig {
  /** Directory of configuration: `/etc/cni/net.d`. */
  configDir: string;
  /** Directories of plugins, in the order they are searched: `/opt/cni/bin`, `/usr/lib/cni`. */
  binDirs: readonly string[];
  /** Whether to write a bridge configuration of Skiff's own into an empty directory. */
  writeDefault: boolean;
}
