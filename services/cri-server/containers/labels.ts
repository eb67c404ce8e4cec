/** SELinux labels of a container, and of the volumes that shall have them. */
import { realpathSync } from 'node:fs';
import type { ContainerConfig } from '#contracts/cri/runtime_pb.ts';
import type { SandboxView } from '../ports.ts';
import type { SelinuxLabels } from '../selinux/policy.ts';
import { relabel } from '../selinux/relabel.ts';
import type { Core } from './deps.ts';

/**
 * The labels of a container; undefined on machines without SELinux, and in pods that are machines of their own.
 *
 * @throws SkiffError INVALID_ARGUMENT if the policy knows no such label.
 */
export function labelsOf(
  core: Pick<Core, 'selinux' | 'runtimes'>,
  sandbox: SandboxView,
  config: ContainerConfig,
): SelinuxLabels | undefined {
  const { selinux } = core;
  if (selinux === undefined || sandbox.selinuxLevel === undefined) return undefined;
  if (core.runtimes.driver(sandbox.runtimeHandler).pods !== undefined) return undefined;
  const context = config.linux?.securityContext;
  const options = context?.selinuxOptions ?? sandbox.config.linux?.securityContext?.selinuxOptions;
  return selinux.labels(options, sandbox.selinuxLevel, context?.privileged === true);
}

/** Gives volumes the label where the request asks for it; they are there by now. */
export async function relabelMounts(config: ContainerConfig, { mount: label }: SelinuxLabels): Promise<void> {
  for (const mount of config.mounts)
    if (mount.selinuxRelabel && mount.hostPath !== '') await relabel(realpathSync(mount.hostPath), label);
}
