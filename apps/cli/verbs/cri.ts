/** `skiff cri`: the CRI server alone, for somebody else's kubelet or crictl. */
import { loadConfig } from '../config/load.ts';
import { type Context, requireRoot } from '../context.ts';
import { criService } from '../node/cri-service.ts';
import { serve, serviceLogger } from '../node/serve.ts';

/** Serves until SIGTERM; sandboxes and containers live on. */
export async function run(context: Context, options: { config?: string }): Promise<void> {
  requireRoot('cri', 'to make namespaces, mounts and cgroups');
  const config = loadConfig(context.paths, options.config);
  const log = serviceLogger(config);
  await serve(context, log, [criService(context.paths, config, log)], () => {
    log.info({ endpoint: `unix://${context.paths.criSocket}` }, 'the CRI is served');
  });
}
