/** Devices of a container: block volumes, and what device plugins and the CPU manager allocated to it. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { DeviceSchema } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { AnyContainer, Mounts } from '../ports.ts';
import type { CriMount } from './volume-mounts.ts';

/** What was allocated to a container beyond its manifest. */
export interface Allocated {
  devices: MessageInitShape<typeof DeviceSchema>[];
  mounts: CriMount[];
  envs: Map<string, string>;
  annotations: Record<string, string>;
  cdiDevices: string[];
  /** A cpuset list (cpuset(7)): `0-1,4`; empty for all shared CPUs. */
  cpus: string;
  /** A list of NUMA nodes, as `cpus`; empty for any. */
  mems: string;
}

/** Nothing allocated. */
export const nothingAllocated: Allocated = {
  devices: [],
  mounts: [],
  envs: new Map(),
  annotations: {},
  cdiDevices: [],
  cpus: '',
  mems: '',
};

/** The device nodes of `volumeDevices`. @throws SkiffError for a volume that is missing or not a block device. */
export function blockDevices(
  container: AnyContainer,
  mounts: Mounts,
): MessageInitShape<typeof DeviceSchema>[] {
  return (container.volumeDevices ?? []).map((device) => {
    const volume = mounts.get(device.name);
    if (volume?.block !== true)
      throw new SkiffError(
        'NOT_FOUND',
        `cannot find the block volume "${device.name}" of container "${container.name}"`,
      );
    const permissions = volume.readOnly ? 'r' : 'mrw';
    return { containerPath: device.devicePath, hostPath: volume.hostPath, permissions };
  });
}
