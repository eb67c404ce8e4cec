/** The kubelet as a service of this process. It talks to its runtime only by CRI over a socket. */
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { connectCri } from '#contracts/cri/client.ts';
import { openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { createKubeletApi } from '#services/kubelet/api/kubelet-api.ts';
import { loadConfiguration } from '#services/kubelet/configuration/load.ts';
import { createKubelet } from '#services/kubelet/kubelet.ts';
import type { KubeletApi } from '#services/kubelet/ports.ts';
import type { Config } from '../config/schema.ts';
import type { Service } from './serve.ts';

/** How to run the kubelet. */
export interface KubeletOptions {
  paths: Paths;
  config: Config;
  log: Logger;
  /** `unix:///run/skiff/cri.sock`, or another runtime's. */
  runtimeEndpoint: string;
  /** Directory of static pods. */
  manifests?: string;
  /** Of the API server whose pods to run; none for static pods alone. */
  kubeconfig?: string;
}

/** The node's name: the configuration's, else the host's in lower case, as the kubelet has it. */
export function nodeNameOf(config: Config): string {
  return config.nodeName ?? hostname().toLowerCase();
}

/** Makes the kubelet; the connection to the runtime is made when it starts. */
export function kubeletService(options: KubeletOptions): Service {
  const { paths, config, log } = options;
  const manifests = options.manifests ?? config.kubelet.manifestDirectory ?? join(paths.etc, 'manifests');
  const running = new AsyncDisposableStack();
  return {
    name: 'kubelet',
    async start() {
      mkdirSync(manifests, { recursive: true, mode: 0o755 });
      const cri = running.use(connectCri(options.runtimeEndpoint));
      const api = options.kubeconfig === undefined ? undefined : apiOf(options, options.kubeconfig);
      const kubelet = createKubelet({
        paths,
        cri,
        api,
        configuration: kubeletConfiguration(paths, config, manifests),
        clock: systemClock,
        logger: log.child({ service: 'kubelet' }),
        nodeName: nodeNameOf(config),
        failCgroupV1: false,
      });
      await kubelet.start();
      running.defer(() => kubelet.stop());
    },
    stop: () => running.disposeAsync(),
  };
}

/** The API server of a kubeconfig; the kubelet starts and stops it. */
function apiOf({ config, log }: KubeletOptions, kubeconfig: string): KubeletApi {
  return createKubeletApi({
    client: openApi(loadKubeconfig(kubeconfig)),
    nodeName: nodeNameOf(config),
    clock: systemClock,
    logger: log.child({ service: 'kubelet' }),
  });
}

/** Another root's kubelet takes free ports, so that several nodes can share a machine. */
function kubeletConfiguration(paths: Paths, config: Config, manifests: string) {
  const ports = paths.root === '/' ? {} : { port: 0, healthzPort: 0 };
  return loadConfiguration({
    file: config.kubelet.configFile,
    overrides: { staticPodPath: manifests, ...ports },
  });
}
