/** `skiff node`: kubelet, CRI server and Kubernetes API in one process, joined by sockets. */
import { loadConfig } from '../config/load.ts';
import { type Context, requireRoot } from '../context.ts';
import { criService } from '../node/cri-service.ts';
import { removeNodeInfo, writeNodeInfo } from '../node/info.ts';
import { kubeletService, nodeNameOf } from '../node/kubelet-service.ts';
import { type Service, serve, serviceLogger } from '../node/serve.ts';

interface Options {
  config?: string;
  manifests?: string;
  kubeconfig?: string;
  startedBy?: 'up';
}

/** Serves until SIGTERM; pods live on. */
export async function run(context: Context, options: Options): Promise<void> {
  requireRoot('node', 'to make namespaces, mounts and cgroups');
  const { paths } = context;
  const config = loadConfig(paths, options.config);
  const log = serviceLogger(config);
  const runtimeEndpoint = `unix://${paths.criSocket}`;
  const { manifests, kubeconfig } = options;
  const services: Service[] = [
    criService(paths, config, log),
    kubeletService({ paths, config, log, runtimeEndpoint, manifests, kubeconfig }),
  ];
  const publish = () => {
    const nodeName = nodeNameOf(config);
    writeNodeInfo(paths, {
      version: 1,
      pid: process.pid,
      nodeName,
      startedBy: options.startedBy ?? 'person',
      kubeconfig,
    });
  };
  try {
    await serve(context, log, services, publish);
  } finally {
    removeNodeInfo(paths);
  }
}
