/**
 * csi: a driver of the cluster mounts the volume. It is staged once for the node, then published to each pod. What was
 * done is written down before it is done, so that after a crash it can be undone from the disk alone.
 *
 * ```
 * plugins/kubernetes.io/csi/DRIVER/sha256(handle)/globalmount    staged
 * pods/UID/volumes/kubernetes.io~csi/NAME/vol_data.json          what it is
 * pods/UID/volumes/kubernetes.io~csi/NAME/mount                  published
 * ```
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapabilitySchema,
} from '#contracts/csi/csi_pb.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import { mountsBelow } from '#foundation/linux/mount.ts';
import { setOwnership } from '../ownership.ts';
import type { VolumePlugin, VolumeRequest } from '../plugin.ts';
import { entriesOf, removeVolume } from '../remove.ts';
import type { CsiDriver, CsiDrivers } from './drivers.ts';
import { type CsiSource, type CsiSourceDeps, csiSource } from './source.ts';

const callMs = 120_000;
const dataFile = 'vol_data.json';

/** vol_data.json; the original's fields. */
interface VolumeData {
  driverName: string;
  volumeHandle: string;
  specVolID: string;
  nodeName: string;
  volumeLifecycleMode: 'Persistent' | 'Ephemeral';
  attachmentID: string;
}

/** What the plugin needs. */
export interface CsiDeps extends CsiSourceDeps {
  kubeletRoot: string;
  drivers: Pick<CsiDrivers, 'get'>;
}

/** Makes the csi plugin. */
export function csiPlugin(deps: CsiDeps): VolumePlugin {
  // Two pods of one volume must not stage and unstage it at the same time.
  const volumes = keyedLocks();
  return {
    name: 'csi',
    handles: (volume) => volume.csi !== undefined,
    async mount(request) {
      const source = await csiSource(deps, request.pod, request.volume, request.persistent);
      const driver = deps.drivers.get(source.driver);
      const key = `${source.driver}^${source.handle}`;
      return volumes.run(key, () => mountVolume(deps, driver, source, request), request.signal);
    },
    async unmount(directory, _paths, signal) {
      const data = readData(directory);
      if (data === undefined) {
        removeVolume(directory);
        return;
      }
      await volumes.run(
        `${data.driverName}^${data.volumeHandle}`,
        () => unmountVolume(deps, data, directory, signal),
        signal,
      );
    },
  };
}

async function mountVolume(deps: CsiDeps, driver: CsiDriver, source: CsiSource, request: VolumeRequest) {
  const { directory, signal, pod } = request;
  const target = join(directory, 'mount');
  mkdirSync(directory, { recursive: true, mode: 0o750 });
  const data: VolumeData = {
    driverName: source.driver,
    volumeHandle: source.handle,
    specVolID: basename(directory),
    nodeName: deps.nodeName,
    volumeLifecycleMode: source.ephemeral ? 'Ephemeral' : 'Persistent',
    attachmentID: source.attachment?.id ?? '',
  };
  replaceFileSync(join(directory, dataFile), JSON.stringify(data));
  const staging = source.ephemeral || !driver.stages ? '' : stagingPath(deps.kubeletRoot, data);
  const common = {
    volumeId: source.handle,
    publishContext: source.attachment?.context ?? {},
    stagingTargetPath: staging,
    volumeCapability: capability(source),
    volumeContext: source.attributes,
  };
  const options = { signal, timeoutMs: callMs };
  if (staging !== '') {
    mkdirSync(staging, { recursive: true, mode: 0o750 });
    await driver.node.nodeStageVolume({ ...common, secrets: source.stageSecrets }, options);
  }
  const readonly = source.readOnly || request.readOnly;
  const publish = { ...common, targetPath: target, readonly, secrets: source.publishSecrets };
  await driver.node.nodePublishVolume(publish, options);
  const group = pod.spec.securityContext?.fsGroup;
  if (group !== undefined && !readonly && ownsFiles(source))
    setOwnership(target, { group, readOnly: false, policy: pod.spec.securityContext?.fsGroupChangePolicy });
  return { hostPath: target, readOnly: readonly, block: source.block ? true : undefined };
}

/** CSIDriver.spec.fsGroupPolicy: whether the kubelet is to change owners. */
function ownsFiles({ fsGroupPolicy, fsType, accessModes, block }: CsiSource): boolean {
  if (block || fsGroupPolicy === 'None') return false;
  if (fsGroupPolicy === 'File') return true;
  return fsType !== '' && accessModes.some((mode) => mode === 'ReadWriteOnce' || mode === 'ReadWriteOncePod');
}

function capability(source: CsiSource): MessageInitShape<typeof VolumeCapabilitySchema> {
  const { block, fsType, mountFlags, accessModes } = source;
  const accessMode = { mode: widestMode(accessModes) };
  if (block) return { accessMode, accessType: { case: 'block', value: {} } };
  return { accessMode, accessType: { case: 'mount', value: { fsType, mountFlags } } };
}

/** The widest mode that the volume has, in the driver's words. */
function widestMode(modes: readonly string[]): Mode {
  if (modes.includes('ReadWriteMany')) return Mode.MULTI_NODE_MULTI_WRITER;
  if (modes.includes('ReadOnlyMany')) {
    return modes.includes('ReadWriteOnce') ? Mode.MULTI_NODE_SINGLE_WRITER : Mode.MULTI_NODE_READER_ONLY;
  }
  return Mode.SINGLE_NODE_WRITER;
}

async function unmountVolume(
  deps: CsiDeps,
  data: VolumeData,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const driver = deps.drivers.get(data.driverName);
  const options = { signal, timeoutMs: callMs };
  const targetPath = join(directory, 'mount');
  await driver.node.nodeUnpublishVolume({ volumeId: data.volumeHandle, targetPath }, options);
  // rmdir, never a recursive delete: what a driver left behind may be somebody's data.
  if (existsSync(targetPath) && mountsBelow(targetPath).length === 0) rmdirSync(targetPath);
  const staging = stagingPath(deps.kubeletRoot, data);
  if (
    driver.stages &&
    data.volumeLifecycleMode === 'Persistent' &&
    !usedElsewhere(deps.kubeletRoot, data, directory)
  ) {
    const request = { volumeId: data.volumeHandle, stagingTargetPath: staging };
    await driver.node.nodeUnstageVolume(request, options);
    if (existsSync(staging)) rmdirSync(staging);
    rmdirSync(join(staging, '..'));
  }
  rmSync(join(directory, dataFile), { force: true });
  rmdirSync(directory);
}

/** Whether another pod of this node has the volume too. */
function usedElsewhere(kubeletRoot: string, data: VolumeData, except: string): boolean {
  const pods = join(kubeletRoot, 'pods');
  return entriesOf(pods).some((uid) => {
    const volumes = join(pods, uid, 'volumes', 'kubernetes.io~csi');
    return entriesOf(volumes).some((name) => {
      const directory = join(volumes, name);
      const other = directory === except ? undefined : readData(directory);
      return other?.volumeHandle === data.volumeHandle && other.driverName === data.driverName;
    });
  });
}

/** Unique names of the attached volumes of all pods, as `node.status.volumesInUse` lists them. */
export function attachedVolumes(kubeletRoot: string): string[] {
  const pods = join(kubeletRoot, 'pods');
  const names = entriesOf(pods).flatMap((uid) => {
    const volumes = join(pods, uid, 'volumes', 'kubernetes.io~csi');
    return (existsSync(volumes) ? readdirSync(volumes) : []).flatMap((name) => {
      const data = readData(join(volumes, name));
      return data === undefined || data.attachmentID === ''
        ? []
        : [`kubernetes.io/csi/${data.driverName}^${data.volumeHandle}`];
    });
  });
  return [...new Set(names)];
}

function stagingPath(kubeletRoot: string, { driverName, volumeHandle }: VolumeData): string {
  const digest = createHash('sha256').update(volumeHandle).digest('hex');
  return join(kubeletRoot, 'plugins', 'kubernetes.io', 'csi', driverName, digest, 'globalmount');
}

function readData(directory: string): VolumeData | undefined {
  const path = join(directory, dataFile);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as VolumeData) : undefined;
}
