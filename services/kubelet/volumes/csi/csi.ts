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
import { existsSync, mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import { mountsBelow } from '#foundation/linux/mount.ts';
import type { EventRecorder } from '../../ports.ts';
import { setOwnership } from '../ownership.ts';
import type { VolumePlugin, VolumeRequest } from '../plugin.ts';
import { removeVolume } from '../remove.ts';
import { capability } from './capability.ts';
import type { CsiDriver, CsiDrivers } from './drivers.ts';
import { expandVolume } from './expand.ts';
import { type CsiSource, type CsiSourceDeps, csiSource } from './source.ts';
import { dataFile, readData, stagingPath, usedElsewhere, type VolumeData, writeData } from './volume-data.ts';

const callMs = 120_000;

/** What the plugin needs. */
export interface CsiDeps extends CsiSourceDeps {
  kubeletRoot: string;
  drivers: Pick<CsiDrivers, 'get'>;
  events: Pick<EventRecorder, 'pod'>;
}

/** Makes the csi plugin. */
export function csiPlugin(deps: CsiDeps): VolumePlugin {
  // Two pods of one volume must not stage and unstage it at the same time.
  const volumes = keyedLocks();
  return {
    name: 'csi',
    handles: (volume) => volume.csi !== undefined,
    async mount(request) {
      const source = await csiSource(deps, { ...request, isMounted: false });
      const driver = deps.drivers.get(source.driver);
      const key = `${source.driver}^${source.handle}`;
      return volumes.run(
        key,
        async () => {
          const mounted = await mountVolume(deps, driver, source, request);
          await expandVolume(deps, driver, source, request);
          return mounted;
        },
        request.signal,
      );
    },
    async update(request) {
      const source = await csiSource(deps, { ...request, isMounted: true });
      const driver = deps.drivers.get(source.driver);
      const work = async () => {
        if (source.republish) await publish(deps, driver, source, request);
        await expandVolume(deps, driver, source, request);
      };
      await volumes.run(`${source.driver}^${source.handle}`, work, request.signal);
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
  writeData(directory, data);
  const staging = stagingOf(deps, driver, source);
  if (staging !== '') {
    mkdirSync(staging, { recursive: true, mode: 0o750 });
    const stage = { ...commonOf(deps, driver, source, pod), secrets: source.stageSecrets };
    await driver.node.nodeStageVolume(stage, { signal, timeoutMs: callMs });
  }
  await publish(deps, driver, source, request);
  const readonly = source.readOnly || request.readOnly;
  const group = pod.spec.securityContext?.fsGroup;
  if (group !== undefined && !readonly && !driver.setsGroup && ownsFiles(source))
    setOwnership(target, { group, readOnly: false, policy: pod.spec.securityContext?.fsGroupChangePolicy });
  return { hostPath: target, readOnly: readonly, block: source.block ? true : undefined };
}

/** Publishes it for the pod; safe to call again, which drivers with short-lived credentials want. */
async function publish(
  deps: CsiDeps,
  driver: CsiDriver,
  source: CsiSource,
  { directory, readOnly, signal, pod }: VolumeRequest,
): Promise<void> {
  const request = {
    ...commonOf(deps, driver, source, pod),
    targetPath: join(directory, 'mount'),
    readonly: source.readOnly || readOnly,
    secrets: source.publishSecrets,
  };
  await driver.node.nodePublishVolume(request, { signal, timeoutMs: callMs });
}

/** What staging and publishing tell the driver. */
function commonOf(deps: CsiDeps, driver: CsiDriver, source: CsiSource, pod: Pod) {
  return {
    volumeId: source.handle,
    publishContext: source.attachment?.context ?? {},
    stagingTargetPath: stagingOf(deps, driver, source),
    volumeCapability: capability(driver, source, pod.spec.securityContext?.fsGroup),
    volumeContext: source.attributes,
  };
}

function stagingOf({ kubeletRoot }: CsiDeps, driver: CsiDriver, source: CsiSource): string {
  if (source.ephemeral || !driver.stages) return '';
  return stagingPath(kubeletRoot, { driverName: source.driver, volumeHandle: source.handle });
}

/** CSIDriver.spec.fsGroupPolicy: whether the kubelet is to change owners. */
function ownsFiles({ fsGroupPolicy, fsType, accessModes, block }: CsiSource): boolean {
  if (block || fsGroupPolicy === 'None') return false;
  if (fsGroupPolicy === 'File') return true;
  return fsType !== '' && accessModes.some((mode) => mode === 'ReadWriteOnce' || mode === 'ReadWriteOncePod');
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
