/**
 * What keeps a pod out before anybody looks whether it fits: the node is short of something, a sysctl may not be set,
 * AppArmor is not there, the node shuts down. The words are the original's.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { dotted } from '../container-config/sandbox.ts';
import type { Admission, AdmitResult, Pressure } from '../ports.ts';
import { isCritical, qosOf } from './qos.ts';

/** What the gates look at. */
export interface GateDeps {
  pressure: () => Pressure;
  /** Why the node takes no more pods; undefined while it does. */
  shuttingDown: () => string | undefined;
  /** `allowedUnsafeSysctls`: names, or beginnings of names with a `*`. */
  allowedUnsafeSysctls: readonly string[];
  /** Whether the kernel enforces AppArmor; for tests. */
  appArmor?: () => boolean;
}

/** Sysctls that concern only the pod that sets them. */
const safeSysctls = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
];

/** Puts the gates before an admission. */
export function createGates(base: Admission, deps: GateDeps): Admission {
  return {
    async admit(pod, others) {
      const refused = pressureGate(pod, deps.pressure()) ?? sysctlGate(pod, deps) ?? shutdownGate(deps);
      if (refused !== undefined) return refused;
      const fits = await base.admit(pod, others);
      return fits.admit ? (appArmorGate(pod, deps) ?? fits) : fits;
    },
    fits: base.fits,
    retain: base.retain,
  };
}

function refuse(reason: string, message: string): AdmitResult {
  return { admit: false, reason, message };
}

function pressureGate(pod: Pod, pressure: Pressure): AdmitResult | undefined {
  const names = { memory: 'MemoryPressure', disk: 'DiskPressure', pid: 'PIDPressure' } as const;
  const held = (['memory', 'disk', 'pid'] as const)
    .filter((each) => pressure[each])
    .map((each) => names[each]);
  if (held.length === 0 || isCritical(pod)) return undefined;
  const onlyMemory = held.length === 1 && pressure.memory;
  if (onlyMemory && (qosOf(pod) !== 'BestEffort' || toleratesMemoryPressure(pod))) return undefined;
  return refuse('Evicted', `The node had condition: [${held.join(' ')}]. `);
}

function toleratesMemoryPressure(pod: Pod): boolean {
  return (pod.spec.tolerations ?? []).some(({ key, operator, effect }) => {
    const taint =
      key === 'node.kubernetes.io/memory-pressure' || ((key ?? '') === '' && operator === 'Exists');
    return taint && (effect === undefined || effect === '' || effect === 'NoSchedule');
  });
}

function sysctlGate(pod: Pod, { allowedUnsafeSysctls }: GateDeps): AdmitResult | undefined {
  const allowed = (name: string) =>
    safeSysctls.includes(name) ||
    allowedUnsafeSysctls.some((each) =>
      each.endsWith('*') ? name.startsWith(each.slice(0, -1)) : each === name,
    );
  for (const { name } of pod.spec.securityContext?.sysctls ?? []) {
    const sysctl = dotted(name);
    if (!allowed(sysctl)) return refuse('SysctlForbidden', `forbidden sysctl: "${name}" not allowlisted`);
    const host = hostNamespaceOf(pod, sysctl);
    if (host !== undefined)
      return refuse('SysctlForbidden', `forbidden sysctl: "${name}" not allowed with host ${host} enabled`);
  }
  return undefined;
}

/** A sysctl of a namespace that the pod shares with the node would change the node. */
function hostNamespaceOf(pod: Pod, sysctl: string): string | undefined {
  if (sysctl.startsWith('net.') && pod.spec.hostNetwork === true) return 'net';
  const ipc = /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(sysctl);
  return ipc && pod.spec.hostIPC === true ? 'ipc' : undefined;
}

function shutdownGate({ shuttingDown }: GateDeps): AdmitResult | undefined {
  const why = shuttingDown();
  return why === undefined
    ? undefined
    : refuse('NodeShutdown', `Pod was rejected as the node is shutting down.`);
}

function appArmorGate(pod: Pod, { appArmor }: GateDeps): AdmitResult | undefined {
  const profiles = [
    pod.spec.securityContext?.appArmorProfile,
    ...[...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(
      (container) => container.securityContext?.appArmorProfile,
    ),
  ];
  const wanted = profiles.some((profile) => profile !== undefined && profile.type !== 'Unconfined');
  if (!wanted || (appArmor ?? appArmorEnabled)()) return undefined;
  return refuse('AppArmor', 'Cannot enforce AppArmor: AppArmor is not enabled on the host');
}

function appArmorEnabled(): boolean {
  const file = '/sys/module/apparmor/parameters/enabled';
  return existsSync(file) && readFileSync(file, 'utf8').startsWith('Y');
}
