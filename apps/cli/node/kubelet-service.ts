/** The kubelet as a service of this process. It talks to its runtime only by CRI over a socket. */
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { connectCri } from '#contracts/cri/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { bootstrap } from '#services/kubelet/api/certificates/bootstrap.ts';
import { openCertificates } from '#services/kubelet/api/certificates/store.ts';
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
  /** Credentials to ask that API server for a certificate with, as long as `kubeconfig` has none. */
  bootstrapKubeconfig?: string;
  /** Whether that API server is a cluster's, whose own authority says who may ask this kubelet. */
  cluster?: boolean;
  /** Aborts when the process is to end. */
  interrupted: AbortSignal;
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

/**
 * How to reach a cluster, from a command line; undefined where none is named. With bootstrap credentials alone, the
 * kubeconfig that they get is kept beside the kubelet's state.
 */
export function clusterOf(
  paths: Paths,
  { kubeconfig, bootstrapKubeconfig }: Pick<KubeletOptions, 'kubeconfig' | 'bootstrapKubeconfig'>,
) {
  if (kubeconfig === undefined && bootstrapKubeconfig === undefined) return undefined;
  const own = kubeconfig ?? join(paths.kubelet, 'kubeconfig');
  return { kubeconfig: own, bootstrapKubeconfig, cluster: true };
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
      const { kubeconfig, bootstrapKubeconfig, interrupted } = options;
      if (kubeconfig !== undefined && bootstrapKubeconfig !== undefined) {
        const store = openCertificates(join(paths.kubelet, 'pki'), 'kubelet-client');
        const deps = { nodeName, bootstrapKubeconfig, kubeconfig, store, clock: systemClock, logger };
        await bootstrap(deps, interrupted);
      }
      const api =
        kubeconfig === undefined
          ? undefined
          : connectKubeletApi(kubeconfig, { nodeName, clock: systemClock, logger });
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

/** The file with the certificate authority of a cluster, as its kubeconfig has it. */
function clusterCaFile({ paths, kubeconfig, cluster }: KubeletOptions): string | undefined {
  if (cluster !== true || kubeconfig === undefined) return undefined;
  const { ca } = loadKubeconfig(kubeconfig);
  if (ca === undefined) return undefined;
  const path = join(paths.kubelet, 'pki', 'cluster-ca.crt');
  mkdirSync(join(paths.kubelet, 'pki'), { recursive: true, mode: 0o755 });
  replaceFileSync(path, ca, { mode: 0o644 });
  return path;
}

/**
 * The KubeletConfiguration with this command's own settings on top. Without a file of the user's, the kubelet asks
 * its API server who may ask it what; that of the embedded API is reached from this machine alone.
 */
function kubeletConfiguration(options: KubeletOptions, manifests: string) {
  const { config, cluster, port, healthPort } = options;
  const clientCaFile = options.clientCaFile ?? clusterCaFile(options);
  const closed = {
    address: cluster === true ? '0.0.0.0' : '127.0.0.1',
    ...(options.bootstrapKubeconfig !== undefined && { rotateCertificates: true }),
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
