/** `skiff kubelet`: the kubelet alone, over any CRI runtime. */
import { loadConfig } from '../config/load.ts';
import { type Context, requireRoot } from '../context.ts';
import { clusterOf, kubeletService } from '../node/kubelet-service.ts';
import { serve, serviceLogger } from '../node/serve.ts';

interface Options {
  runtimeEndpoint: string;
  config?: string;
  manifests?: string;
  kubeconfig?: string;
  bootstrapKubeconfig?: string;
}

/** Serves until SIGTERM; pods live on. */
export async function run(context: Context, options: Options): Promise<void> {
  requireRoot('kubelet', 'to make mounts and cgroups');
  const { paths, interrupted } = context;
  const config = loadConfig(paths, options.config);
  const log = serviceLogger(config);
  const { runtimeEndpoint, manifests } = options;
  const cluster = clusterOf(paths, options);
  const kubelet = { paths, config, log, runtimeEndpoint, manifests, interrupted, ...cluster };
  await serve(context, log, [kubeletService(kubelet)], () => {});
}
