/** The embedded Kubernetes API as a service of this process. */
import { join } from 'node:path';
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { createKubeApi } from '#services/kube-api/index.ts';
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

/** The customary port of a Kubernetes API; other roots take a free one, so that nodes can share a machine. */
const customaryPort = 6443;

/** Makes the API. @param kubeletPort where the node's kubelet will answer on loopback. */
export function apiService(paths: Paths, config: Config, kubeletPort: number, log: Logger): ApiService {
  const api = createKubeApi({
    directory: join(paths.lib, 'kube-api'),
    address: config.api.address,
    port: config.api.port ?? (paths.root === '/' ? customaryPort : 0),
    nodeName: nodeNameOf(config),
    kubeletEndpoint: { url: `https://127.0.0.1:${kubeletPort}` },
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
