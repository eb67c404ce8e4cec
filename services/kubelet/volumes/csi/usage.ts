/** What a CSI volume holds, and whether its driver thinks that it is well. */
import { dirname } from 'node:path';
import { VolumeUsage_Unit as Unit } from '#contracts/csi/csi_pb.ts';
import type { VolumeFigures } from '../../stats/volume-usage.ts';
import type { CsiDrivers } from './drivers.ts';
import { readData, stagingPath } from './volume-data.ts';

const callMs = 10_000;

/**
 * Asks the driver of the volume that is published at `path`.
 *
 * @returns undefined for a driver that does not measure.
 * @throws SkiffError if it is not there or fails.
 */
export async function csiUsage(
  deps: { kubeletRoot: string; drivers: Pick<CsiDrivers, 'get'> },
  path: string,
): Promise<VolumeFigures | undefined> {
  const data = readData(dirname(path));
  if (data === undefined) return undefined;
  const driver = deps.drivers.get(data.driverName);
  if (!driver.measures) return undefined;
  const staged = driver.stages && data.volumeLifecycleMode === 'Persistent';
  const { usage, volumeCondition } = await driver.node.nodeGetVolumeStats(
    {
      volumeId: data.volumeHandle,
      volumePath: path,
      stagingTargetPath: staged ? stagingPath(deps.kubeletRoot, data) : '',
    },
    { timeoutMs: callMs },
  );
  const figures: VolumeFigures = {};
  for (const { unit, available, total, used } of usage) {
    if (unit === Unit.BYTES)
      Object.assign(figures, { available: Number(available), capacity: Number(total), used: Number(used) });
    if (unit === Unit.INODES)
      Object.assign(figures, {
        inodesFree: Number(available),
        inodes: Number(total),
        inodesUsed: Number(used),
      });
  }
  if (driver.examines && volumeCondition !== undefined)
    figures.problem = volumeCondition.abnormal
      ? volumeCondition.message || 'the driver does not say what'
      : '';
  return figures;
}
