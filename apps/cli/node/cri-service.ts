/** The CRI server as a service of this process. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { numberAddress, parseNetwork } from '#foundation/base/ip.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { type CriServerConfig, createCriServer } from '#services/cri-server/server.ts';
import packageJson from '../../../package.json' with { type: 'json' };
import type { Config } from '../config/schema.ts';
import type { Service } from './serve.ts';
import { vmProgram } from './vm.ts';

/** Makes the CRI server of a root. */
export function criService(paths: Paths, config: Config, log: Logger): Service {
  const server = createCriServer(serverConfig(paths, config.cri, log.child({ service: 'cri' })));
  return { name: 'cri', start: () => server.listen(), stop: () => server.close() };
}

/** OCI runtimes that are looked for on PATH besides those that the configuration names. */
const knownRuntimes = [{ name: 'crun' }, { name: 'runc' }];

/** The configuration of the CRI server; what the file leaves out has the server's defaults. */
export function serverConfig(paths: Paths, cri: Config['cri'], log: Logger): CriServerConfig {
  const named = Object.entries(cri.runtimes).map(([name, { path }]) => ({ name, path }));
  const known = cri.vm.enabled ? [...knownRuntimes, { name: 'vm', path: vmProgram }] : knownRuntimes;
  const unnamed = known.filter((each) => cri.runtimes[each.name] === undefined);
  return {
    paths,
    version: packageJson.version,
    log,
    cni: {
      configDir: cri.cniConfigDirectory ?? join(paths.etc, 'cni', 'net.d'),
      binDirs: cri.cniPluginDirectories,
      writeDefault: cri.cniConfigTemplate === undefined,
      ...(cri.podSubnet === 'auto' ? {} : { subnet: podSubnet(cri.podSubnet) }),
      ...(cri.cniConfigTemplate === undefined ? {} : { template: cri.cniConfigTemplate }),
    },
    runtimes: {
      candidates: [...unnamed, ...named],
      hostPods: cri.vm.hostPods,
      ...(cri.vm.factory === 'direct' ? {} : { vmsAhead: { kind: cri.vm.factory, waiting: cri.vm.waiting } }),
      ...(cri.defaultRuntime === 'auto' ? {} : { preferred: cri.defaultRuntime }),
    },
    registry: registryConfig(paths, cri),
    ...(cri.signaturePolicy === undefined ? {} : { signaturePolicy: cri.signaturePolicy }),
    streaming: { address: cri.streamingAddress, port: cri.streamingPort, ...streamingTls(cri) },
    nri: given(cri.nri),
    ...(cri.metricsPort === undefined
      ? {}
      : { metrics: { address: cri.metricsAddress, port: cri.metricsPort } }),
    ...(cri.cdiDirectories === undefined ? {} : { cdiDirectories: cri.cdiDirectories }),
  };
}

function podSubnet(text: string): string {
  const { base, family, prefix } = parseNetwork(text);
  if (family === 4 && prefix <= 30) return `${numberAddress(base, family)}/${prefix}`;
  throw new SkiffError('INVALID_ARGUMENT', `cri.podSubnet "${text}" is no IPv4 network with room for pods`);
}

/** What the configuration says nothing of is left out, so that it does not hide a default. */
function given<T extends object>(settings: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function streamingTls(cri: Config['cri']): { tls?: { key: string; cert: string } } {
  const { streamingCertificateFile: cert, streamingKeyFile: key } = cri;
  if (cert === undefined && key === undefined) return {};
  if (cert === undefined || key === undefined)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      'cri.streamingCertificateFile and cri.streamingKeyFile belong together: set both or none',
    );
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      throw wrapError(error, 'Cannot serve streaming over TLS');
    }
  };
  return { tls: { key: read(key), cert: read(cert) } };
}

/** Where containerd's and Docker's users already keep their registry settings. */
const customaryCertsDirs = ['/etc/containerd/certs.d', '/etc/docker/certs.d'];

function registryConfig(paths: Paths, cri: Config['cri']): CriServerConfig['registry'] {
  const own = cri.registryHostsDirectory ?? join(paths.etc, 'certs.d');
  const env = (name: string) => process.env[name] ?? process.env[name.toLowerCase()];
  return {
    certsDirs: [own, ...customaryCertsDirs],
    dockerConfigs: [join(paths.etc, 'registry-auth.json'), '/root/.docker/config.json'],
    namespaceConfigs: join(paths.etc, 'registry-auth.d'),
    proxy: { httpProxy: env('HTTP_PROXY'), httpsProxy: env('HTTPS_PROXY'), noProxy: env('NO_PROXY') },
  };
}
