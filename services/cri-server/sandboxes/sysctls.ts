/** A pod's sysctls: which may be set, and setting them in the namespaces that the thread is in. */
import { writeFileSync } from 'node:fs';
import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { NamespacePlan } from './validate.ts';

/** Names that belong to an IPC namespace; `fs.mqueue.` too. See ipc_namespaces(7). */
const ipcNames =
  /^(kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced|auto_msgmni)|fs\.mqueue\..+)$/;

/**
 * The sysctls to set, with the defaults that pods have: unprivileged ports, and ping for every group (which
 * needs the host's group ids, so not with a user namespace).
 *
 * @returns names with dots and their values.
 * @throws SkiffError INVALID_ARGUMENT for one that is not the pod's own.
 */
export function sysctlsOf(config: PodSandboxConfig, plan: NamespacePlan): Map<string, string> {
  const wanted = new Map<string, string>();
  if (!plan.hostNetwork) {
    wanted.set('net.ipv4.ip_unprivileged_port_start', '0');
    if (plan.user === undefined) wanted.set('net.ipv4.ping_group_range', '0 2147483647');
  }
  for (const [name, value] of Object.entries(config.linux?.sysctls ?? {})) {
    const dotted = withDots(name);
    checkOwner(dotted, plan);
    wanted.set(dotted, value);
  }
  return wanted;
}

/** sysctl(8): the separator that comes first separates; the other one stands for itself. */
function withDots(name: string): string {
  const slash = name.indexOf('/');
  const dot = name.indexOf('.');
  if (slash < 0 || (dot >= 0 && dot < slash)) return name;
  return name.replaceAll(/[./]/g, (mark) => (mark === '/' ? '.' : '/'));
}

function checkOwner(name: string, plan: NamespacePlan): void {
  const fail = (why: string) =>
    new SkiffError('INVALID_ARGUMENT', `Sysctl "${name}" cannot be set for a pod: ${why}`);
  if (name.split(/[./]/).includes('')) throw fail('it is not a valid name');
  if (name.startsWith('net.')) {
    if (plan.hostNetwork) throw fail('the pod uses the network of the host');
  } else if (ipcNames.test(name)) {
    if (plan.hostIpc) throw fail('the pod uses the IPC namespace of the host');
  } else {
    throw fail('it is not of a namespace of its own and would change the whole machine');
  }
}

/** Writes sysctls; call it inside the pod's namespaces. @throws SkiffError naming the sysctl. */
export function writeSysctls(sysctls: ReadonlyMap<string, string>): void {
  for (const [name, value] of sysctls) {
    const path = `/proc/sys/${name.replaceAll(/[./]/g, (mark) => (mark === '.' ? '/' : '.'))}`;
    try {
      writeFileSync(path, value, { flag: 'r+' });
    } catch (error) {
      throw new SkiffError(
        'INVALID_ARGUMENT',
        `Cannot set the sysctl "${name}" to "${value}": ${messageOf(error)}`,
      );
    }
  }
}
