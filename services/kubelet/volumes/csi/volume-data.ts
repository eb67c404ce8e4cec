/** What is written down of each published CSI volume, and what can be told from it: where it is staged, who else has it. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileSync } from '#foundation/base/files.ts';
import { entriesOf } from '../remove.ts';

/** The name of the file. */
export const dataFile = 'vol_data.json';

/** vol_data.json; the original's fields. */
export interface VolumeData {
  driverName: string;
  volumeHandle: string;
  specVolID: string;
  nodeName: string;
  volumeLifecycleMode: 'Persistent' | 'Ephemeral';
  attachmentID: string;
}

/** Writes it into a volume's directory. */
export function writeData(directory: string, data: VolumeData): void {
  replaceFileSync(join(directory, dataFile), JSON.stringify(data));
}

/** Whether another pod of this node has the volume too. */
export function usedElsewhere(kubeletRoot: string, data: VolumeData, except: string): boolean {
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

/** The name of a CSI volume in a node's status. */
export function uniqueName(driver: string, handle: string): string {
  return `kubernetes.io/csi/${driver}^${handle}`;
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
        : [uniqueName(data.driverName, data.volumeHandle)];
    });
  });
  return [...new Set(names)];
}

/** Where a volume is staged for the node. */
export function stagingPath(
  kubeletRoot: string,
  { driverName, volumeHandle }: Pick<VolumeData, 'driverName' | 'volumeHandle'>,
): string {
  const digest = createHash('sha256').update(volumeHandle).digest('hex');
  return join(kubeletRoot, 'plugins', 'kubernetes.io', 'csi', driverName, digest, 'globalmount');
}

/** What a volume's directory says; undefined if it says nothing. */
export function readData(directory: string): VolumeData | undefined {
  const path = join(directory, dataFile);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as VolumeData) : undefined;
}
