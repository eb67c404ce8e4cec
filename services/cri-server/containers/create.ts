/**
 * CreateContainer: reserve the name, put down that a container is being made, make its root, volumes and
 * config.json, and let the runtime create it. What fails takes back all that came before.
 *
 * The work goes on when the client leaves: its retry, which asks for the same name, gets the same container.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import {
  type ContainerConfig,
  type CreateContainerRequest,
  NamespaceMode,
} from '#contracts/cri/runtime_pb.ts';
import type { PodRuntime } from '#contracts/oci/pod-runtime.ts';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { makeDirectories } from '#foundation/base/directories.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import { nowNanos } from '#foundation/base/time.ts';
import { type UndoStack, undoStack } from '#foundation/base/undo.ts';
import { identify } from '#foundation/linux/process.ts';
import type { LocalImage, SandboxView } from '../ports.ts';
import { attachName, monitorEnded } from '../runtimes/conmon.ts';
import { namespacePlan } from '../sandboxes/validate.ts';
import type { SelinuxLabels } from '../selinux/policy.ts';
import { type OpenCheckpoint, openCheckpoint } from './checkpoint/restore.ts';
import type { Core } from './deps.ts';
import { labelsOf, relabelMounts } from './labels.ts';
import { canStart } from './lifecycle.ts';
import { bindMappedMounts } from './mapped-mounts.ts';
import {
  bundleOf,
  cgroupPlace,
  imageVolumeKey,
  makeLogDirectory,
  removeMonitorFiles,
  volumesOf,
} from './places.ts';
import { type ContainerRecord, encodeConfig } from './record.ts';
import { stopSignalNumber } from './signals.ts';
import { type BuiltSpec, buildSpec } from './spec/index.ts';
import { idMapOf } from './spec/namespaces.ts';
import { type Container, nameOf } from './table.ts';
import { validateConfig } from './validate.ts';
import { moveNetDevices, scheduleProcess } from './young-fields.ts';

/** Creates a container and returns its id; a repeated request gets the id of the first. */
export async function createContainer(core: Core, request: CreateContainerRequest): Promise<string> {
  const what = `Cannot create container "${request.config?.metadata?.name ?? ''}" in sandbox "${request.podSandboxId}"`;
  try {
    using checkpoint = await openCheckpoint(core, request);
    const { config, sandbox, image } = validateConfig(core, request, checkpoint?.image);
    const name = nameOf(config.metadata, sandbox.config.metadata ?? emptyPod);
    const underWay = core.creating.get(name);
    if (underWay !== undefined) return await underWay.id;
    const existing = core.table.byName(name);
    if (existing !== undefined) return sameContainer(existing, config);
    const creation = makeContainer(core, name, config, { sandbox, image, checkpoint });
    core.creating.set(name, { sandboxId: sandbox.id, id: creation });
    try {
      return await creation;
    } finally {
      core.creating.delete(name);
    }
  } catch (error) {
    throw wrapError(error, what);
  }
}

const emptyPod = { name: '', namespace: '', uid: '', attempt: 0 };

function sameContainer(existing: Container, config: ContainerConfig): string {
  const { record } = existing;
  if (canStart(record.life) && record.config === encodeConfig(config)) return existing.id;
  throw new SkiffError(
    'ALREADY_EXISTS',
    `container ${existing.id} (${record.life.phase}) has this name and attempt; remove it or raise the attempt`,
  );
}

/** Where a container comes from. */
interface Origin {
  sandbox: SandboxView;
  image: LocalImage;
  checkpoint: OpenCheckpoint | undefined;
}

async function makeContainer(
  core: Core,
  name: string,
  config: ContainerConfig,
  origin: Origin,
): Promise<string> {
  const { sandbox, image, checkpoint } = origin;
  await using undo = undoStack();
  using _warm = core.warmth.hold();
  using _parent = core.ownCgroup.hold();
  const id = randomBytes(32).toString('hex');
  const record = newRecord(core, id, name, config, sandbox, image);
  const container = core.table.add(record);
  undo.defer('forget the container', () => core.table.remove(id));
  const root = await prepareRoots(core, id, config, origin, undo);
  makeBundle(core, id, undo);
  const { spec, user, release } = await makeSpec(core, container, sandbox, image, root, undo);
  makeLogDirectory(record.logPath);
  const known = { user, ...(root.imageVolumes.size === 0 ? {} : { volumeImages: root.volumeImages }) };
  if (checkpoint === undefined) {
    const { pid } = await createInRuntime(core, container, spec, undo);
    const process = identify(pid) ?? { pid, startTime: 0 };
    core.table.change(container, { ...known, life: { phase: 'created', process } });
    core.exits.watch(id, process);
  } else {
    checkpoint.give(bundleOf(core.paths, id));
    core.table.change(container, { ...known, life: { phase: 'restorable' } });
  }
  release();
  undo.commit();
  core.emit('created', container);
  await core.hooks.created(container);
  return id;
}

function newRecord(
  core: Core,
  id: string,
  name: string,
  config: ContainerConfig,
  sandbox: SandboxView,
  image: LocalImage,
): ContainerRecord {
  const pidMode = config.linux?.securityContext?.namespaceOptions?.pid ?? NamespaceMode.POD;
  const ownPids =
    pidMode === NamespaceMode.CONTAINER ||
    (pidMode === NamespaceMode.POD && sandbox.namespaces.pid === undefined);
  const { logDirectory } = sandbox.config;
  return {
    id,
    sandboxId: sandbox.id,
    name,
    config: encodeConfig(config),
    runtime: sandbox.runtimeHandler,
    image: {
      id: image.id,
      ref: image.repoDigests[0] ?? image.id,
      name: image.repoTags[0] ?? config.image?.image ?? image.id,
    },
    createdAt: nowNanos(),
    logPath: logDirectory === '' || config.logPath === '' ? '' : join(logDirectory, config.logPath),
    user: { uid: 0, gid: 0, groups: [] },
    stopSignal: stopSignalNumber(config.stopSignal, image.config.StopSignal ?? ''),
    cgroupPath: cgroupPlace(sandbox.cgroupParent, id, core.paths.tag, core.host.cgroupDriver).path,
    sharesPids: !ownPids,
    life: { phase: 'creating' },
  };
}

interface Roots {
  path: string;
  imageVolumes: Map<number, string>;
  /** Their images' ids. */
  volumeImages: Record<number, string>;
  labels: SelinuxLabels | undefined;
}

async function prepareRoots(
  core: Core,
  id: string,
  config: ContainerConfig,
  { sandbox, image, checkpoint }: Origin,
  undo: UndoStack,
): Promise<Roots> {
  const map = idMapOf(sandbox);
  const labels = labelsOf(core, sandbox, config);
  const owners = {
    ...(map === undefined ? {} : { idMap: map }),
    ...(labels === undefined ? {} : { mountLabel: labels.mount }),
  };
  undo.defer('remove the root', () => core.images.removeRoot(id));
  const { path } = await core.images.prepareRoot({
    key: id,
    imageId: image.id,
    ...owners,
    ...(checkpoint?.changes === undefined ? {} : { changes: checkpoint.changes }),
  });
  const imageVolumes = new Map<number, string>();
  const volumeImages: Record<number, string> = {};
  for (const [index, mount] of config.mounts.entries()) {
    const reference = mount.image?.image ?? '';
    if (reference === '') continue;
    const source = core.images.find(reference);
    if (source === undefined)
      throw new SkiffError(
        'NOT_FOUND',
        `the image "${reference}" of the volume on "${mount.containerPath}" is not here; pull it`,
      );
    const key = imageVolumeKey(id, index);
    undo.defer(`remove image volume ${index}`, () => core.images.removeRoot(key));
    volumeImages[index] = source.id;
    imageVolumes.set(
      index,
      (await core.images.prepareRoot({ key, imageId: source.id, readOnly: true, ...owners })).path,
    );
  }
  return { path, imageVolumes, volumeImages, labels };
}

function makeBundle(core: Core, id: string, undo: UndoStack): void {
  const bundle = bundleOf(core.paths, id);
  undo.defer('remove the bundle', () => rmSync(bundle, { recursive: true, force: true }));
  makeDirectories(bundle, 0o700);
}

/** Builds config.json, lets plugins adjust it, and writes it; `release` is due when the container is made. */
async function makeSpec(
  core: Core,
  container: Container,
  sandbox: SandboxView,
  image: LocalImage,
  roots: Roots,
  undo: UndoStack,
): Promise<BuiltSpec & { release: () => void }> {
  const { spec: original, user } = specFor(core, container, sandbox, image, roots);
  const adjusted = await core.hooks.create(container, original);
  undo.defer('tell plugins', () => core.hooks.undoCreate(container, adjusted));
  // Building the spec made the host paths that were missing.
  if (roots.labels !== undefined) await relabelMounts(container.config, roots.labels);
  const moved = moveNetDevices(core.runtimes.driver(sandbox.runtimeHandler), sandbox, adjusted, undo);
  const { spec, release } = bindMappedMounts(core, container.id, sandbox, moved, undo);
  const path = join(bundleOf(core.paths, container.id), 'config.json');
  replaceFileSync(path, JSON.stringify(spec), { durable: false });
  return { spec, user, release };
}

function specFor(
  core: Core,
  container: Container,
  sandbox: SandboxView,
  image: LocalImage,
  roots: Roots,
): BuiltSpec {
  const { id, config } = container;
  const driver = core.runtimes.driver(sandbox.runtimeHandler);
  return buildSpec({
    id,
    config,
    sandbox: asMachine(driver.pods, sandbox),
    image,
    rootPath: roots.path,
    cgroupsPath: cgroupPlace(sandbox.cgroupParent, id, core.paths.tag, core.host.cgroupDriver).spec,
    host: core.host,
    hostname: hostname(),
    features: driver.features,
    runtime: driver.name,
    imageVolumes: roots.imageVolumes,
    volumesDirectory: volumesOf(core.paths, id),
    targetPid: targetPid(core, container),
    cdiDirectories: core.cdiDirectories,
    ...(roots.labels === undefined ? {} : { labels: roots.labels }),
  });
}

/** The PID namespace that a VM's containers share is the guest's, known by a path of its own. */
function asMachine(pods: PodRuntime | undefined, sandbox: SandboxView): SandboxView {
  const shared = pods !== undefined && namespacePlan(sandbox.config).sharedPid;
  return shared ? { ...sandbox, namespaces: { ...sandbox.namespaces, pid: pods.sharedPidPath } } : sandbox;
}

/** The process whose PID namespace a container joins, for mode TARGET: of a running container of its pod. */
function targetPid(core: Core, { config, record }: Container): number | undefined {
  const options = config.linux?.securityContext?.namespaceOptions;
  if (options?.pid !== NamespaceMode.TARGET) return undefined;
  const target = core.table.get(options.targetId);
  if (target.record.sandboxId !== record.sandboxId)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `the target container "${options.targetId}" is in another sandbox`,
    );
  const { life } = target.record;
  return life.phase === 'running' ? life.process.pid : undefined;
}

async function createInRuntime(
  core: Core,
  container: Container,
  spec: RuntimeSpec,
  undo: UndoStack,
): Promise<{ pid: number }> {
  const { id, config, record } = container;
  const driver = core.runtimes.driver(record.runtime);
  undo.defer('remove the files of conmon', async () => {
    await monitorEnded(bundleOf(core.paths, id));
    removeMonitorFiles(core.monitor, attachName(id), id);
  });
  undo.defer('remove the default cgroup parent', () => core.ownCgroup.removeIfUnused());
  undo.defer('delete it from the runtime', () => driver.delete(id, { force: true }));
  const created = await driver.create({
    id,
    bundle: bundleOf(core.paths, id),
    spec,
    stdin: config.stdin,
    stdinStaysOpen: config.stdin && !config.stdinOnce,
    ...(record.logPath === '' ? {} : { logPath: record.logPath }),
  });
  scheduleProcess(created.pid, spec.process);
  return created;
}
