/** `skiff node`: kubelet, CRI server and Kubernetes API in one process, joined by sockets. */
import type { Logger } from '#foundation/base/log.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { type Context, requireRoot } from '../context.ts';
import { apiService } from '../node/api-service.ts';
import { criService } from '../node/cri-service.ts';
import { freePort } from '../node/free-port.ts';
import { removeNodeInfo, type StartedBy, writeNodeInfo } from '../node/info.ts';
import { kubeletService, nodeNameOf } from '../node/kubelet-service.ts';
import { type Service, serve, serviceLogger } from '../node/serve.ts';

/** The kubelet's customary port. */
const kubeletPort = 10250;

interface Options {
  config?: string;
  manifests?: string;
  kubeconfig?: string;
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
  { paths }: Context,
  config: Config,
  log: Logger,
  { manifests, kubeconfig }: Options,
): Promise<{ services: Service[]; kubeconfig: string }> {
  const cri = criService(paths, config, log);
  const port = paths.root === '/' ? undefined : await freePort('127.0.0.1');
  const kubelet = { paths, config, log, runtimeEndpoint: `unix://${paths.criSocket}`, manifests, port };
  if (kubeconfig !== undefined)
    return { services: [cri, kubeletService({ ...kubelet, kubeconfig })], kubeconfig };
  const api = apiService(paths, config, port ?? kubeletPort, log);
  const own = kubeletService({ ...kubelet, kubeconfig: api.nodeKubeconfig, clientCaFile: api.caFile });
  return { services: [cri, api, own], kubeconfig: api.adminKubeconfig };
}
