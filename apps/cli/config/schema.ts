/** The schema of Skiff's own configuration file, `/etc/skiff/config.yaml`. The kubelet's has Kubernetes' format. */
import { z } from 'zod';

const port = z.number().int().min(0).max(65535);

const runtime = z.strictObject({
  /** The OCI runtime's binary. */
  path: z.string(),
});

/** The Node Resource Interface: plugins that adjust containers. */
const nri = z.strictObject({
  enabled: z.boolean().default(true),
  /** Where plugins register; `/var/run/nri/nri.sock` unless told. */
  socket: z.string().optional(),
  /** Plugins that are started with the server; `/opt/nri/plugins` unless told. */
  pluginDirectory: z.string().optional(),
  /** Their configuration; `/etc/nri/conf.d` unless told. */
  configDirectory: z.string().optional(),
  registrationTimeoutMs: z.number().int().positive().optional(),
  requestTimeoutMs: z.number().int().positive().optional(),
});

const cri = z.strictObject({
  /** The runtime handler that pods without a RuntimeClass get; `auto` takes crun where it runs, else runc. */
  defaultRuntime: z.string().default('auto'),
  /** Pods that are virtual machines: the runtime handler `vm`. */
  vm: z
    .strictObject({
      enabled: z.boolean().default(true),
      /** What a pod gets that names no runtime and needs the host (privileged, its network, PIDs or IPC), where `vm` is the default. */
      hostPods: z.enum(['plain', 'refuse']).default('refuse'),
      /**
       * Where VMs come from: `direct` boots each; `template` clones one that was saved after the first pod of a size, and
       * keeps `waiting` clones ready (a few tens of MB each, for the last two sizes); `cache` keeps booted ones ready
       * instead, which have all their memory to themselves and can give it back.
       */
      factory: z.enum(['direct', 'template', 'cache']).default('direct'),
      waiting: z.number().int().min(0).max(16).default(1),
    })
    .prefault({}),
  /** More runtime handlers, by name; crun and runc are found on PATH by themselves. */
  runtimes: z.record(z.string(), runtime).default({}),
  /** Directory with CNI configurations; one is written there when it is empty. */
  cniConfigDirectory: z.string().optional(),
  /** Directories with CNI plugins. */
  cniPluginDirectories: z.array(z.string()).default(['/usr/lib/cni', '/opt/cni/bin']),
  /** The IPv4 subnet of the network that is made when there is no CNI configuration; `auto` takes a free one. */
  podSubnet: z.string().default('auto'),
  /** A template of CNI configuration (as containerd's conf_template), filled when the pod CIDR of the node is known. */
  cniConfigTemplate: z.string().optional(),
  /** Directory with a folder per registry host, each with a hosts.toml, as containerd has it. */
  registryHostsDirectory: z.string().optional(),
  /** A containers-policy.json(5) that says which images may be pulled; /etc/containers/policy.json unless set. */
  signaturePolicy: z.string().optional(),
  streamingAddress: z.string().default('127.0.0.1'),
  streamingPort: port.default(0),
  /** PEM files with which exec, attach and port-forward are served over TLS. */
  streamingCertificateFile: z.string().optional(),
  streamingKeyFile: z.string().optional(),
  /** Serves the CRI server's own metrics (Prometheus) on this port; 0 takes a free one. Not served unless set. */
  metricsPort: port.optional(),
  metricsAddress: z.string().default('127.0.0.1'),
  /** Directories with specs of devices (Container Device Interface). */
  cdiDirectories: z.array(z.string()).optional(),
  nri: nri.prefault({}),
});

const kubelet = z.strictObject({
  /** A KubeletConfiguration file (kubelet.config.k8s.io/v1beta1). */
  configFile: z.string().optional(),
  /** Programs that know registries' credentials (CredentialProviderConfig, kubelet.config.k8s.io/v1). */
  credentialProviders: z
    .strictObject({
      /** The configuration, or a directory of them. */
      configuration: z.string(),
      /** Where the programs are. */
      binaryDirectory: z.string(),
    })
    .optional(),
  /** Drop-in directory: `*.conf` files on top of `configFile`. */
  configDirectory: z.string().optional(),
  /** Manifests of static pods are picked up here. */
  manifestDirectory: z.string().optional(),
});

const api = z.strictObject({
  address: z.string().default('127.0.0.1'),
  /** 0 takes a free port. */
  port: port.optional(),
});

/** The whole file. */
export const configSchema = z.strictObject({
  /** The node's name; the host name in lower case unless told. */
  nodeName: z.string().optional(),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'),
  cri: cri.prefault({}),
  kubelet: kubelet.prefault({}),
  api: api.prefault({}),
});

/** Skiff's configuration with every default filled in. */
export type Config = z.infer<typeof configSchema>;
