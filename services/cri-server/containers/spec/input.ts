/** What a container's config.json is made from. */
import type { ContainerConfig } from '#contracts/cri/runtime_pb.ts';
import type { RuntimeFeatures } from '#contracts/oci/runtime-driver.ts';
import type { LocalImage, SandboxView } from '../../ports.ts';
import type { SelinuxLabels } from '../../selinux/policy.ts';
import type { HostFacts } from './host.ts';

/** Everything that the parts of the spec are computed from. */
export interface SpecInput {
  id: string;
  config: ContainerConfig;
  sandbox: SandboxView;
  image: LocalImage;
  /** The container's root on the host. */
  rootPath: string;
  /** `/parent/id` or `slice:prefix:id`. */
  cgroupsPath: string;
  host: HostFacts;
  /** The hostname that the container sees. */
  hostname: string;
  features: RuntimeFeatures;
  /** What the runtime is called, for messages. */
  runtime: string;
  /** Roots of image volumes, by their index in `config.mounts`. */
  imageVolumes: ReadonlyMap<number, string>;
  /** Where directories for the image's VOLUMEs are made. */
  volumesDirectory: string;
  /** The process whose PID namespace is joined, for mode TARGET. */
  targetPid?: number;
  /** SELinux labels; left out on machines without. */
  labels?: SelinuxLabels;
  /** Where CDI specs are found, the stronger last. */
  cdiDirectories: readonly string[];
}
