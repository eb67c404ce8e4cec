/** How a CRI server is configured. `apps/` makes this from its configuration file and options. */
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';
import type { RegistryClientDeps } from './images/registry/types.ts';
import type { MetricsAddress } from './metrics/serve.ts';
import type { NriSettings } from './nri/index.ts';
import type { RuntimeCandidate } from './runtimes/probe.ts';

/** The configuration of a CRI server; every part that may be left out has a default that works. */
export interface CriServerConfig {
  /** Where everything is kept. */
  paths: Paths;
  /** Skiff's version, as Version answers. */
  version: string;
  log: Logger;
  cni: CniConfig;
  runtimes?: RuntimesConfig;
  /** A containers-policy.json(5) that says which images may be pulled; the machine's unless told. */
  signaturePolicy?: string;
  /** Mirrors, credentials, proxies. */
  registry?: RegistryClientDeps;
  streaming?: StreamingConfig;
  /** Where plugins of the Node Resource Interface are; the custom places unless told. */
  nri?: Partial<NriSettings>;
  /** Where the server's own metrics are served; nowhere unless told. */
  metrics?: MetricsAddress;
  /** Where CDI specs lie; `/etc/cdi` and `/var/run/cdi` unless told. */
  cdiDirectories?: readonly string[];
}

/** The pod network. */
export interface CniConfig {
  /** Directory of configuration: `/etc/cni/net.d`. */
  configDir: string;
  /** Directories of plugins, in the order they are searched: `/opt/cni/bin`, `/usr/lib/cni`. */
  binDirs: readonly string[];
  /** Whether to write a bridge configuration of Skiff's own into an empty directory. */
  writeDefault: boolean;
  /** The IPv4 network of that one; a free one unless told. */
  subnet?: string;
  /** A template that the pod CIDR of UpdateRuntimeConfig makes a configuration of, as with containerd. */
  template?: string;
}

/** The OCI runtimes, which are the runtime handlers. */
export interface RuntimesConfig {
  /** Handlers to offer, by name; crun and runc unless told. Those that do not work here are left out. */
  candidates?: readonly RuntimeCandidate[];
  /** The default handler, if it works; else the first that does. */
  preferred?: string;
  /** What is done with a pod that names no handler and cannot be a VM, where VMs are the default; refused unless told. */
  hostPods?: 'plain' | 'refuse';
  /** VMs that are made ready before pods want them; none unless told. */
  vmsAhead?: { kind: 'template' | 'cache'; waiting: number };
  /** Holds PID namespaces that pods share: `/usr/bin/catatonit`. */
  pauseProgram?: string;
}

/** Where exec, attach and port-forward are served. */
export interface StreamingConfig {
  /** An IP address; 127.0.0.1 unless told. */
  address?: string;
  /** 0 for any free port. */
  port?: number;
  /** PEM texts; URLs are https then. */
  tls?: { key: string; cert: string };
}
