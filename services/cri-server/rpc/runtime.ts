/** The CRI's RPCs about the runtime itself: Version, Status, RuntimeConfig, UpdateRuntimeConfig. */
import { CgroupDriver, type RuntimeService } from '#contracts/cri/runtime_pb.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import type { PodNetwork } from '../network/index.ts';

/** What Status tells of a runtime handler. */
export interface HandlerFeatures {
  recursiveReadOnlyMounts: boolean;
  userNamespaces: boolean;
}

/** What these RPCs report. */
export interface RuntimeInfo {
  /** Skiff's version: `0.1.0`. */
  version: string;
  /** The handlers by name, the default first. */
  handlers: ReadonlyMap<string, HandlerFeatures>;
  network: PodNetwork;
  /** The addresses of this node's pods: networks with commas between. @throws SkiffError. */
  usePodCidr(podCidr: string): void;
  /** Why containers cannot run now; undefined if they can. */
  runtimeProblem(): string | undefined;
  /** What the verbose status shows as JSON: `stateDir`, ... */
  configuration: Record<string, unknown>;
}

/** Handlers over what is known of the runtime. */
export function runtimeHandlers(info: RuntimeInfo): Handlers<typeof RuntimeService> {
  return {
    // 0.1.0 is the version of the kubelet's side of this call, fixed since the CRI began.
    version: async () => ({
      version: '0.1.0',
      runtimeName: 'skiff',
      runtimeVersion: info.version,
      runtimeApiVersion: 'v1',
    }),
    async status({ verbose }, { signal }) {
      const network = await info.network.status(signal);
      const problem = info.runtimeProblem();
      const runtime = {
        status: problem === undefined,
        reason: problem === undefined ? '' : 'RuntimeNotReady',
        message: problem ?? '',
      };
      return {
        status: {
          conditions: [
            { type: 'RuntimeReady', ...runtime },
            { type: 'NetworkReady', status: network.ready, reason: network.reason, message: network.message },
          ],
        },
        runtimeHandlers: listHandlers(info),
        features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false },
        info: verbose ? verboseInfo(info) : {},
      };
    },
    runtimeConfig: async () => ({ linux: { cgroupDriver: CgroupDriver.CGROUPFS } }),
    async updateRuntimeConfig({ runtimeConfig }) {
      info.usePodCidr(runtimeConfig?.networkConfig?.podCidr ?? '');
      return {};
    },
  };
}

/** The default stands a second time under "": clients look it up by that name. */
function listHandlers({ handlers }: RuntimeInfo) {
  const named = [...handlers].map(([name, features]) => ({ name, features }));
  return [...named.slice(0, 1).map(({ features }) => ({ name: '', features })), ...named];
}

function verboseInfo(info: RuntimeInfo): Record<string, string> {
  const { list, file, problems } = info.network.current();
  return {
    config: JSON.stringify(info.configuration),
    cniconfig: JSON.stringify({ file, network: list, problems }),
  };
}
