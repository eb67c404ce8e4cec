/** The CNI specification's types: https://github.com/containernetworking/cni/blob/main/SPEC.md, 0.3.1 to 1.1.0. */

/** The versions that Skiff's side of the protocol speaks, oldest first. */
export const cniVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

/** An interface that a plugin made or changed. */
export interface CniInterface {
  name: string;
  mac?: string;
  mtu?: number;
  /** The namespace's path; left out or empty for interfaces on the host. */
  sandbox?: string;
}

/** An address that a plugin gave. */
export interface CniIp {
  /** `10.1.2.3/16`. */
  address: string;
  gateway?: string;
  /** Index into `interfaces`. */
  interface?: number;
  /** `4` or `6`; only in results before 1.0.0. */
  version?: string;
}

/** A route that a plugin set. */
export interface CniRoute {
  dst: string;
  gw?: string;
}

/** Name resolution that a plugin asks for. */
export interface CniDns {
  nameservers?: string[];
  domain?: string;
  search?: string[];
  options?: string[];
}

/** What ADD returns. */
export interface CniResult {
  cniVersion: string;
  interfaces?: CniInterface[];
  ips?: CniIp[];
  routes?: CniRoute[];
  dns?: CniDns;
}

/** One plugin's part of a list, as written by the administrator. */
export interface PluginConfig {
  type: string;
  capabilities?: Record<string, boolean>;
  [key: string]: unknown;
}

/** A network configuration list. */
export interface ConfigList {
  cniVersion: string;
  name: string;
  disableCheck?: boolean;
  disableGC?: boolean;
  plugins: PluginConfig[];
}

/** What a plugin is asked to do. */
export type CniVerb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';

/** One call of one plugin. */
export interface PluginCall {
  verb: CniVerb;
  /** Empty for GC and STATUS. */
  containerId: string;
  /** Path of the namespace; empty if it is gone (DEL only). */
  netns: string;
  ifName: string;
  /** CNI_ARGS: `K=V;K=V`. */
  args: string;
  /** The plugin's config with name, cniVersion, runtimeConfig and prevResult filled in. */
  config: PluginConfig & { name: string; cniVersion: string; prevResult?: CniResult };
}

/** Calls one plugin: executes it, or does the same in this process. */
export interface PluginRunner {
  /** @returns the result of ADD, nothing for the other verbs. @throws SkiffError with the plugin's message. */
  run(call: PluginCall, signal: AbortSignal): Promise<CniResult | undefined>;
}

/** Whether a version is at least another one. */
export function versionAtLeast(version: string, least: string): boolean {
  const [a, b] = [version, least].map((text) => text.split('.').map(Number));
  for (let at = 0; at < 3; at += 1) {
    const difference = (a?.[at] ?? 0) - (b?.[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** A result in the shape of `version`: before 1.0.0 each address names its family. */
export function resultIn(version: string, result: CniResult): CniResult {
  const old = !versionAtLeast(version, '1.0.0');
  const ips = result.ips?.map(({ version: _family, ...ip }) =>
    old ? { version: ip.address.includes(':') ? '6' : '4', ...ip } : ip,
  );
  return { ...result, cniVersion: version, ...(ips === undefined ? {} : { ips }) };
}
