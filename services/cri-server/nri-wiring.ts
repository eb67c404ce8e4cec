/** Joins NRI with sandboxes and containers: the one file that knows the inside of both. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { ContainerConfigSchema } from '#contracts/cri/runtime_pb.ts';
import type { RuntimeSpec, SpecResources } from '#contracts/oci/runtime.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { Paths } from '#foundation/base/paths.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import type { Core } from './containers/deps.ts';
import type { ContainerHooks } from './containers/hooks.ts';
import { canUpdate, hasProcess } from './containers/lifecycle.ts';
import { bundleOf, specOf } from './containers/places.ts';
import { applyCdi } from './containers/spec/cdi.ts';
import type { HostFacts } from './containers/spec/host.ts';
import { endContainer } from './containers/stop.ts';
import type { Container } from './containers/table.ts';
import { createNri, type Nri, type NriContainer, type NriContainers, type NriSettings } from './nri/index.ts';
import type { Sandboxes } from './ports.ts';
import type { CriServerConfig } from './server-config.ts';

/** Milliseconds an evicted container has before SIGKILL: the kubelet's usual grace. */
const evictionGraceMs = 30_000;

/** What it is opened with; sandboxes and containers are made after it. */
export interface NriWiring {
  config: CriServerConfig;
  spawner: Spawner;
  host: HostFacts;
  sandboxes: () => Sandboxes;
  core: () => Core;
}

/** The customary places, or those under another root. */
function nriSettings(paths: Paths, settings: Partial<NriSettings> = {}): NriSettings {
  const own = paths.root === '/';
  return {
    enabled: true,
    socket: own ? '/var/run/nri/nri.sock' : join(paths.run, 'nri.sock'),
    pluginDirectory: own ? '/opt/nri/plugins' : join(paths.lib, 'nri', 'plugins'),
    configDirectory: own ? '/etc/nri/conf.d' : join(paths.etc, 'nri', 'conf.d'),
    registrationTimeoutMs: 5_000,
    requestTimeoutMs: 2_000,
    ...settings,
  };
}

/** Makes NRI, without plugins until it is started. */
export function openNri({ config, spawner, host, sandboxes, core }: NriWiring): Nri {
  return createNri({
    settings: nriSettings(config.paths, config.nri),
    version: config.version,
    spawner,
    log: config.log,
    sandboxes: { find: (id) => sandboxes().find(id), list: () => sandboxes().list() },
    containers: nriContainers(core),
    swapLimits: host.swapLimits,
    clampOomScore: (score) => Math.max(score, host.lowestOomScoreAdj),
  });
}

function nriContainers(core: () => Core): NriContainers {
  return {
    live: () =>
      core()
        .table.list()
        .filter(({ record }) => hasProcess(record.life))
        .map((container) => nriContainer(core(), container)),
    update: (id, resources) => updateContainer(core(), id, resources),
    evict: (id) => endContainer(core(), core().table.get(id), evictionGraceMs),
    injectCdi: (spec, names) => {
      const config = create(ContainerConfigSchema, { CDIDevices: names.map((name) => ({ name })) });
      return applyCdi(spec, config, core().cdiDirectories);
    },
  };
}

/** Sets limits, and keeps them in config.json, where the next event reads them. */
async function updateContainer(core: Core, id: string, resources: SpecResources): Promise<void> {
  const container = core.table.get(id);
  await core.locks.run(container.id, async () => {
    const { life, runtime } = container.record;
    if (!canUpdate(life)) throw new SkiffError('FAILED_PRECONDITION', `container ${id} is ${life.phase}`);
    await core.runtimes.driver(runtime).update(container.id, resources);
    keepResources(core, container, resources);
  });
}

function keepResources(core: Core, container: Container, resources: SpecResources): void {
  const spec = specOf(core, container);
  const { cpu, memory, unified } = spec.linux.resources ?? {};
  const merged: SpecResources = {
    ...spec.linux.resources,
    ...resources,
    cpu: { ...cpu, ...resources.cpu },
    memory: { ...memory, ...resources.memory },
    ...(unified === undefined && resources.unified === undefined
      ? {}
      : { unified: { ...unified, ...resources.unified } }),
  };
  const path = join(bundleOf(core.paths, container.id), 'config.json');
  replaceFileSync(path, JSON.stringify({ ...spec, linux: { ...spec.linux, resources: merged } }), {
    durable: false,
  });
}

/** The hooks that containers call. */
export function containerHooks(core: () => Core, { containerHooks: hooks }: Nri): ContainerHooks {
  const of = (container: Container, spec?: RuntimeSpec) => nriContainer(core(), container, spec);
  return {
    async create(container, spec) {
      const adjusted = await hooks.create(of(container, spec), spec);
      try {
        keepCgroup(core(), container, spec, adjusted);
      } catch (error) {
        await hooks.undoCreate(of(container, spec));
        throw error;
      }
      return adjusted;
    },
    undoCreate: (container, spec) => hooks.undoCreate(of(container, spec)),
    created: (container) => hooks.created(of(container)),
    start: (container) => hooks.start(of(container)),
    started: (container) => hooks.started(of(container)),
    update: (container, resources) => hooks.update(of(container), resources),
    async updated(container, resources) {
      keepResources(core(), container, resources);
      await hooks.updated(of(container));
    },
    removed: (container) => hooks.removed(of(container)),
  };
}

/** A cgroup that a plugin chose is the container's from now on: for statistics, exits and removal. */
function keepCgroup(core: Core, container: Container, before: RuntimeSpec, after: RuntimeSpec): void {
  const path = after.linux.cgroupsPath ?? '';
  if (path === before.linux.cgroupsPath) return;
  if (core.host.cgroupDriver !== 'cgroupfs' || !path.startsWith('/') || path.split('/').includes('..'))
    throw new SkiffError('INVALID_ARGUMENT', `an NRI plugin sets the cgroup "${path}": use an absolute path`);
  core.table.change(container, { cgroupPath: path });
}

/** Tells plugins that a process ended; nobody waits for them. */
export function tellStopped(core: Core, nri: Nri, container: Container): void {
  nri.containerHooks.stopped(nriContainer(core, container)).catch((error: unknown) => {
    core.log.warn(
      { container: container.id, why: messageOf(error) },
      'NRI plugins could not be told of an end',
    );
  });
}

/** @param given its spec while config.json is not written. */
function nriContainer(core: Core, container: Container, given?: RuntimeSpec): NriContainer {
  const { id, record, config } = container;
  const { life, image } = record;
  const exited = life.phase === 'removing' ? life.exited : life.phase === 'exited' ? life : undefined;
  let spec = given;
  return {
    id,
    sandboxId: record.sandboxId,
    name: config.metadata?.name ?? '',
    labels: config.labels,
    annotations: config.annotations,
    cdiDevices: config.CDIDevices.map(({ name }) => name),
    image: { name: image.name, digest: image.ref.split('@')[1] ?? '', configDigest: image.id },
    state: life.phase === 'running' ? 'running' : exited === undefined ? 'created' : 'stopped',
    pid: hasProcess(life) ? life.process.pid : 0,
    createdAt: record.createdAt,
    startedAt: life.phase === 'running' ? life.startedAt : (exited?.startedAt ?? 0n),
    finishedAt: exited?.finishedAt ?? 0n,
    exitCode: exited?.exitCode ?? 0,
    reason: exited?.reason ?? '',
    message: exited?.message ?? '',
    // Read when a plugin is told of it, and not otherwise.
    get spec() {
      if (spec === undefined && existsSync(join(bundleOf(core.paths, id), 'config.json')))
        spec = specOf(core, container);
      return spec;
    },
  };
}
