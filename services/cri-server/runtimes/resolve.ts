/** Which runtime handler a pod gets: the one it names, else the default; where VMs are that, not every pod can be one. */
import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { needsHost } from '../sandboxes/machine.ts';
import type { RuntimesConfig } from '../server-config.ts';
import { plainHandler, type Runtimes } from './table.ts';

/**
 * Resolves a handler's name.
 *
 * @param name as the pod has it; empty for the default.
 * @throws SkiffError NOT_FOUND for one that there is not, FAILED_PRECONDITION for a VM that the pod cannot be.
 */
export function resolveHandler(
  runtimes: Runtimes,
  config: RuntimesConfig | undefined,
  name: string,
  pod: PodSandboxConfig,
): string {
  const driver = runtimes.driver(name);
  const why = driver.pods === undefined ? undefined : needsHost(pod);
  if (why === undefined) return driver.name;
  if (name === '' && config?.hostPods === 'plain') return runtimes.driver(plainHandler).name;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `the pod cannot be a VM (runtime "${driver.name}"): ${why}; give it the plain runtime (runtimeClassName: plain)`,
  );
}
