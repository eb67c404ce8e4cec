/** The files every container of a pod gets: hostname, hosts, resolv.conf; and its /dev/shm. */
import { readFileSync, writeFileSync } from 'node:fs';
import { hostname as hostName } from 'node:os';
import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import { MountFlag, mount } from '#foundation/linux/mount.ts';
import type { SandboxPaths } from './paths.ts';
import type { NamespacePlan } from './validate.ts';

/** Bytes of a pod's /dev/shm, as every runtime has it. */
const shmBytes = 64 * 1024 * 1024;

/** The pod's host name: as asked, the host's on the host's network, else the id's beginning. */
export function hostnameOf(id: string, config: PodSandboxConfig, plan: NamespacePlan): string {
  if (plan.hostNetwork) return hostName();
  return config.hostname === '' ? id.slice(0, 12) : config.hostname;
}

/** Writes hostname and resolv.conf. */
export function writeNameFiles(paths: SandboxPaths, hostname: string, config: PodSandboxConfig): void {
  writeFileSync(paths.hostname, `${hostname}\n`, { mode: 0o644 });
  writeFileSync(paths.resolvConf, resolvConf(config), { mode: 0o644 });
}

/** Writes /etc/hosts, when the pod's addresses are known. */
export function writeHosts(paths: SandboxPaths, hostname: string, ips: readonly string[]): void {
  writeFileSync(paths.hosts, hosts(hostname, ips), { mode: 0o644 });
}

/**
 * Mounts a tmpfs of 64 MiB for POSIX shared memory.
 *
 * @param owner the host id of the pod's root.
 * @param label the SELinux label of all files in it.
 */
export function mountShm(paths: SandboxPaths, owner: { uid: number; gid: number }, label?: string): void {
  const context = label === undefined ? '' : `,context="${label}"`;
  mount({
    source: 'shm',
    target: paths.shm,
    type: 'tmpfs',
    flags: MountFlag.noSuid | MountFlag.noDev | MountFlag.noExec,
    data: `mode=1777,size=${shmBytes},uid=${owner.uid},gid=${owner.gid}${context}`,
  });
}

/** resolv.conf(5) of a pod: the host's unless the request brings its own, however empty. */
export function resolvConf(config: PodSandboxConfig): string {
  const dns = config.dnsConfig;
  if (dns === undefined) return readHostFile('/etc/resolv.conf');
  const lines: string[] = [];
  if (dns.searches.length > 0) lines.push(`search ${dns.searches.join(' ')}`);
  for (const server of dns.servers) lines.push(`nameserver ${server}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(' ')}`);
  return lines.map((line) => `${line.replaceAll(/[\r\n]/g, ' ')}\n`).join('');
}

/** hosts(5) of a pod with its own network; the host's file on the host's. */
function hosts(hostname: string, ips: readonly string[]): string {
  if (ips.length === 0) return readHostFile('/etc/hosts');
  const own = ips.map((ip) => `${ip}\t${hostname}\n`).join('');
  return `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n${own}`;
}

function readHostFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // A host without one: the pod gets none either.
  }
}
