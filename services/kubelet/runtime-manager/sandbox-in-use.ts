import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';

/** The sandbox a container is started in. */
export interface SandboxInUse {
  id: string;
  config: PodSandboxConfig;
  runtimeHandler: string;
  ips: string[];
}
