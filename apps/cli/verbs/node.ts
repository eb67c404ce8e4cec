/** `skiff node`: kubelet, CRI server and Kubernetes API in one process, joined by sockets. */

import { freePort, preferPort } from '#foundation/base/free-port.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { type Context, requireRoot } from '../context.ts';
import { apiService } from '../node/api-service.ts';
import { criService } from '../node/cri-service.ts';
import { removeNodeInfo, type StartedBy, writeNodeInfo } from '../node/info.ts';
import { clusterOf, kubeletService, nodeNameOf } from '../node/kubelet-service.ts';
import { type Service, serve, serviceLogger } from '../node/serve.ts';

/** The ports of Kubernetes' own parts. */
const customary = { api: 6443, kubelet: 10250, health: 10248 };

interface Options {
  config?: string;
  manifests?: string;
  kubeconfig?: string;
  bootstrapKubeconfig?: string;
  startedBy?: StartedBy;
}

/** Serves until SIGTERM; pods live on. */
export async function run(context: Context, options: Options): Promise<void> {
  requireRoot('node', 'to make namespaces, mounts and cgroups');
  const { paths } = context;
  const config = loadConfig(paths, options.config);
  const log = serviceLogger(config);
  const { services, kubeconfig } = await nodeServices(context, config, log, options);
  const publish = () => {
    const startedBy = options.startedBy ?? 'person';
    writeNodeInfo(paths, {
      nodeName: nodeNameOf(config),
      startedBy,
      kubeconfig,
    });
  };
  try {
    await serve(context, log, services, publish);
  } finally {
    removeNodeInfo(paths);
  }
}

/** CRI server, API unless a cluster's is used, kubelet: in the order in which they need each other. */
async function nodeServices(
  { paths, interrupted }: Context,
  config: Config,
  log: Logger,
  options: Options,
): Promise<{ services: Service[]; kubeconfig: string }> {
  const cri = criService(paths, config, log);
  const { manifests } = options;
  const runtimeEndpoint = `unix://${paths.criSocket}`;
  const kubelet = { paths, config, log, runtimeEndpoint, manifests, interrupted };
  const cluster = clusterOf(paths, options);
  if (cluster !== undefined)
    return { services: [cri, kubeletService({ ...kubelet, ...cluster })], kubeconfig: cluster.kubeconfig };
  const ports = await choosePorts(paths, config);
  const api = apiService(paths, config, ports, log);
  const own = {
    kubeconfig: api.nodeKubeconfig,
    clientCaFile: api.caFile,
    port: ports.kubelet,
    healthPort: ports.health,
  };
  return { services: [cri, api, kubeletService({ ...kubelet, ...own })], kubeconfig: api.adminKubeconfig };
}

/** The customary ports where they are free; other roots take any, so that nodes can share a machine. */
async function choosePorts(paths: Paths, config: Config) {
  const loopback = '127.0.0.1';
  const choose = (port: number) => (paths.root === '/' ? preferPort(loopback, port) : freePort(loopback));
  const { address, port } = config.api;
  const [api, kubelet, health] = await Promise.all([
    port ?? (paths.root === '/' ? preferPort(address, customary.api) : freePort(address)),
    choose(customary.kubelet),
    choose(customary.health),
  ]);
  return { api, kubelet, health };
}
