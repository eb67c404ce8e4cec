/** The kubelet as a service of this process. It talks to its runtime only by CRI over a socket. */
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { connectCri } from '#contracts/cri/client.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { connectKubeletApi } from '#services/kubelet/api/connect.ts';
import { loadConfiguration } from '#services/kubelet/configuration/load.ts';
import { createKubelet } from '#services/kubelet/kubelet.ts';
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
  /** The embedded API's certificate authority: clients with its certificates may ask this kubelet. */
  clientCaFile?: string;
  /** TCP ports of the kubelet's own API and of its health; the configuration's unless told. */
  port?: number;
  healthPort?: number;
}

/** The node's name: the configuration's, else the host's in lower case, as the kubelet has it. */
export function nodeNameOf(config: Config): string {
  return config.nodeName ?? hostname().toLowerCase();
}

/** Makes the kubelet; the connection to the runtime is made when it starts. */
export function kubeletService(options: KubeletOptions): Service {
  const { paths, config, log } = options;
  const logger = log.child({ service: 'kubelet' });
  const manifests = options.manifests ?? config.kubelet.manifestDirectory ?? join(paths.etc, 'manifests');
  const running = new AsyncDisposableStack();
  return {
    name: 'kubelet',
    async start() {
      mkdirSync(manifests, { recursive: true, mode: 0o755 });
      const cri = running.use(connectCri(options.runtimeEndpoint));
      const nodeName = nodeNameOf(config);
      const api =
        options.kubeconfig === undefined
          ? undefined
          : connectKubeletApi(options.kubeconfig, { nodeName, clock: systemClock, logger });
      const kubelet = createKubelet({
        paths,
        cri,
        api,
        configuration: kubeletConfiguration(options, manifests),
        clock: systemClock,
        logger,
        nodeName,
        credentialProviders: config.kubelet.credentialProviders,
      });
      await kubelet.start();
      running.defer(() => kubelet.stop());
    },
    stop: () => running.disposeAsync(),
  };
}

/**
 * The KubeletConfiguration with this command's own settings on top. Without a file of the user's, only this
 * machine can reach the kubelet, and only with a certificate of the embedded API.
 */
function kubeletConfiguration(options: KubeletOptions, manifests: string) {
  const { config, clientCaFile, port, healthPort } = options;
  const closed = {
    address: '127.0.0.1',
    readOnlyPort: 0,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: clientCaFile !== undefined },
      x509: { clientCAFile: clientCaFile },
    },
    authorization: { mode: clientCaFile === undefined ? ('AlwaysAllow' as const) : ('Webhook' as const) },
  };
  return loadConfiguration({
    file: config.kubelet.configFile,
    directory: config.kubelet.configDirectory,
    overrides: {
      staticPodPath: manifests,
      ...(port !== undefined && { port }),
      ...(healthPort !== undefined && { healthzPort: healthPort }),
      ...(config.kubelet.configFile === undefined && closed),
    },
  });
}
