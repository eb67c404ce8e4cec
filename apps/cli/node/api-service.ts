/** The embedded Kubernetes API as a service of this process, in a thread of its own. */
import { join } from 'node:path';
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { createApiThread } from '#services/kube-api/thread/thread.ts';
import type { Config } from '../config/schema.ts';
import { nodeNameOf } from './kubelet-service.ts';
import type { Service } from './serve.ts';

/** The API, and what others need to reach it. */
export interface ApiService extends Service {
  readonly adminKubeconfig: string;
  readonly nodeKubeconfig: string;
  /** The certificate authority of its clients. */
  readonly caFile: string;
}

/**
 * Makes the API.
 *
 * @param ports where it shall listen, and where the node's kubelet will, on loopback.
 */
export function apiService(
  paths: Paths,
  config: Config,
  ports: { api: number; kubelet: number },
  log: Logger,
): ApiService {
  const api = createApiThread({
    config: {
      directory: join(paths.lib, 'kube-api'),
      address: config.api.address,
      port: ports.api,
      nodeName: nodeNameOf(config),
      kubeletEndpoint: { url: `https://127.0.0.1:${ports.kubelet}` },
    },
    logLevel: config.logLevel,
    logger: log.child({ service: 'kube-api' }),
  });
  return {
    name: 'kube-api',
    start: () => api.start(),
    stop: () => api.stop(),
    adminKubeconfig: api.adminKubeconfigPath,
    nodeKubeconfig: api.nodeKubeconfigPath,
    caFile: api.caPath,
  };
}
