/**
 * Turns pods and containers into the CRI's configurations. `sandbox.ts` and `container.ts` read as the list of
 * what goes in; each subject (environment, mounts, security, DNS, names) is a file of its own.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { NamespaceOptionSchema } from '#contracts/cri/runtime_pb.ts';
import type { Pod, Service } from '#contracts/kubernetes/types.ts';
import type { AnyContainer, ContainerConfigBuilder, EventRecorder, NodeInfo } from '../ports.ts';
import type { CgroupDriver, CgroupName } from '../resources/cgroup-names.ts';
import type { ResourceSettings } from '../resources/linux-resources.ts';
import type { ObjectSource } from '../volumes/plugin.ts';
import { podPaths } from '../volumes/pod-paths.ts';
import { releaseSubPaths } from '../volumes/sub-path.ts';
import { buildContainer } from './container.ts';
import type { Allocated } from './devices.ts';
import type { DnsSettings } from './dns.ts';
import type { NodeAllocatable } from './downward.ts';
import { buildSandbox } from './sandbox.ts';
import type { SecuritySettings } from './security.ts';

/** What configurations are built from. */
export interface BuilderDeps {
  kubeletRoot: string;
  /** The machine's /etc/hosts. */
  hostsFile: string;
  dns: DnsSettings;
  security: SecuritySettings;
  resources: () => ResourceSettings;
  allocatable: () => NodeAllocatable;
  /** The driver, and the root of the pods' cgroups; without a root pods get no cgroup of their own. */
  cgroups: () => { driver: CgroupDriver; root: CgroupName | undefined };
  /** Namespaces a pod shares; with the user namespace it was given. */
  namespaces: (pod: Pod, targetContainerId?: string) => MessageInitShape<typeof NamespaceOptionSchema>;
  /** Whether the pod's runtime handler can mount recursively read-only. */
  recursiveReadOnly: (pod: Pod) => boolean;
  /** The runtime handler of a RuntimeClass. @throws SkiffError NOT_FOUND. */
  runtimeHandler: (runtimeClass: string) => Promise<string>;
  objects: ObjectSource;
  services: () => readonly Service[];
  node: Pick<NodeInfo, 'ips'>;
  /** Devices and CPUs that admission allocated. */
  devices: (pod: Pod, container: AnyContainer) => Promise<Allocated>;
  events: Pick<EventRecorder, 'pod'>;
}

/** Makes the builder. */
export function createContainerConfigBuilder(deps: BuilderDeps): ContainerConfigBuilder {
  return {
    async sandboxConfig(pod, context) {
      const { runtimeClassName } = pod.spec;
      const runtimeHandler =
        runtimeClassName === undefined || runtimeClassName === ''
          ? ''
          : await deps.runtimeHandler(runtimeClassName);
      return { config: buildSandbox(deps, pod, context), runtimeHandler };
    },
    containerConfig: (pod, container, context) => buildContainer(deps, pod, container, context),
    async release(podUid, containerName) {
      releaseSubPaths(podPaths(deps.kubeletRoot, podUid), containerName);
    },
  };
}
