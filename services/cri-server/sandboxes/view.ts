/** A sandbox as the other parts of the server see it. */
import { podIps } from '../network/addresses.ts';
import type { SandboxView } from '../ports.ts';
import { canHoldContainers, type Sandbox } from './lifecycle.ts';
import { sandboxPaths } from './paths.ts';
import { namespacePlan } from './validate.ts';

/** The view of a sandbox whose run directory is `run`. */
export function viewOf(run: string, sandbox: Sandbox): SandboxView {
  const { id, config, resources } = sandbox;
  const paths = sandboxPaths(run, id);
  const plan = namespacePlan(config);
  return {
    id,
    config,
    ready: canHoldContainers(sandbox),
    runtimeHandler: sandbox.handler,
    namespaces: resources.namespaces,
    files: {
      hostname: paths.hostname,
      hosts: paths.hosts,
      resolvConf: paths.resolvConf,
      shm: plan.hostIpc ? '/dev/shm' : paths.shm,
    },
    ips: resources.network?.result === undefined ? [] : podIps(resources.network.result),
    cgroupParent: config.linux?.cgroupParent ?? '',
    ...(resources.selinuxLevel === undefined ? {} : { selinuxLevel: resources.selinuxLevel }),
    pausePid: resources.pause?.pid,
    createdAt: sandbox.createdAt,
  };
}
