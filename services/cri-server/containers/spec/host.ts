/** What this machine can do, as far as a container's config.json depends on it. Read once at start. */
import { existsSync, readFileSync } from 'node:fs';
import { capabilityNames } from '#contracts/oci/capability-names.ts';
import { type CgroupLayout, cgroupDirectory, cgroupLayout } from '#foundation/linux/cgroups.ts';

/** The machine's abilities. */
export interface HostFacts {
  cgroups: CgroupLayout;
  /** Capabilities that this process may hand on (its bounding set), as `CAP_CHOWN`. */
  capabilities: ReadonlySet<string>;
  apparmor: boolean;
  seccomp: boolean;
  /** Whether the memory controller counts swap. */
  swapLimits: boolean;
  /** The lowest oom_score_adj this process can set: its own without CAP_SYS_RESOURCE, else -1000. */
  lowestOomScoreAdj: number;
  /** `systemd` names groups by slice; `cgroupfs` by path. */
  cgroupDriver: 'cgroupfs' | 'systemd';
}

/** Looks at the machine. */
export function readHostFacts(cgroupDriver: HostFacts['cgroupDriver'] = 'cgroupfs'): HostFacts {
  const cgroups = cgroupLayout();
  const status = readFileSync('/proc/self/status', 'utf8');
  const capabilities = boundingSet(status);
  return {
    cgroups,
    capabilities,
    apparmor: textOf('/sys/module/apparmor/parameters/enabled').startsWith('Y'),
    seccomp: /^Seccomp:/m.test(status),
    swapLimits: hasSwapLimits(cgroups),
    lowestOomScoreAdj: capabilities.has('CAP_SYS_RESOURCE')
      ? -1000
      : Number(textOf('/proc/self/oom_score_adj') || 0),
    cgroupDriver,
  };
}

function boundingSet(status: string): Set<string> {
  const bits = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return new Set(capabilityNames.filter((_, bit) => (bits >> BigInt(bit)) & 1n));
}

/** Version 1 has the memsw files when swap is counted; version 2 has memory.swap.max in every group but the root. */
function hasSwapLimits(cgroups: CgroupLayout): boolean {
  if (cgroups.mode === 'unified') return /^SwapTotal:/m.test(textOf('/proc/meminfo'));
  const memory = cgroupDirectory(cgroups, 'memory', '/');
  return memory !== undefined && existsSync(`${memory}/memory.memsw.limit_in_bytes`);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
