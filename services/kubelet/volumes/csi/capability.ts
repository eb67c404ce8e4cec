/** How a volume is to be used, in the words of the Container Storage Interface. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapabilitySchema,
} from '#contracts/csi/csi_pb.ts';
import type { CsiDriver } from './drivers.ts';
import type { CsiSource } from './source.ts';

/** @param group the pod's fsGroup, for drivers that see to it themselves. */
export function capability(
  driver: Pick<CsiDriver, 'tellsWriters' | 'setsGroup'>,
  { block, fsType, mountFlags, accessModes }: CsiSource,
  group: number | undefined,
): MessageInitShape<typeof VolumeCapabilitySchema> {
  const accessMode = { mode: widestMode(accessModes, driver.tellsWriters) };
  if (block) return { accessMode, accessType: { case: 'block', value: {} } };
  const volumeMountGroup = driver.setsGroup && group !== undefined ? String(group) : '';
  return { accessMode, accessType: { case: 'mount', value: { fsType, mountFlags, volumeMountGroup } } };
}

/** The widest mode that the volume has. */
function widestMode(modes: readonly string[], tellsWriters: boolean): Mode {
  if (modes.includes('ReadWriteMany')) return Mode.MULTI_NODE_MULTI_WRITER;
  if (modes.includes('ReadOnlyMany'))
    return modes.includes('ReadWriteOnce') ? Mode.MULTI_NODE_SINGLE_WRITER : Mode.MULTI_NODE_READER_ONLY;
  if (!tellsWriters) return Mode.SINGLE_NODE_WRITER;
  return modes.includes('ReadWriteOncePod') ? Mode.SINGLE_NODE_SINGLE_WRITER : Mode.SINGLE_NODE_MULTI_WRITER;
}
