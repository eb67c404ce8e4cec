/** NICs and shares that are added to a running VM, each in a place (PCI Express port) of its own. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { VmNic, VmShare } from '../types.ts';
import { checkedMac, checkedName, hotplugPlaces } from './arguments.ts';
import type { Qmp } from './qmp.ts';
import type { VmRecord } from './record.ts';

/** Takes the next place of a VM. @throws SkiffError UNIMPLEMENTED, RESOURCE_EXHAUSTED. */
export function takePlace(record: VmRecord): number {
  if (!record.hotplug)
    throw new SkiffError('UNIMPLEMENTED', `The VM ${record.id} was not started for devices to be added`);
  if (record.placesUsed >= hotplugPlaces)
    throw new SkiffError('RESOURCE_EXHAUSTED', `The VM ${record.id} has no place left for a device`);
  record.placesUsed += 1;
  return record.placesUsed - 1;
}

/** Adds a NIC. See `Vm.addNic`. */
export async function plugNic(qmp: Qmp, place: number, nic: VmNic): Promise<void> {
  const id = `net-p${place}`;
  const mac = checkedMac(nic.mac);
  await qmp.execute('getfd', { fdname: id }, { fds: [nic.tapFd] });
  await qmp.execute('netdev_add', { type: 'tap', id, fd: id });
  await qmp.execute('device_add', {
    ...{ driver: 'virtio-net-pci', id: `nic-p${place}`, netdev: id, mac },
    ...{ bus: `place${place}`, romfile: '', 'disable-legacy': 'on' },
  });
}

/** Adds a share to a clone. */
export async function plugShare(qmp: Qmp, place: number, share: VmShare): Promise<void> {
  const id = `share-p${place}`;
  const tag = checkedName(share.tag);
  await qmp.execute('getfd', { fdname: id }, { fds: [share.fd] });
  await qmp.execute('chardev-add', {
    id,
    backend: { type: 'socket', data: { addr: { type: 'fd', data: { str: id } }, server: false } },
  });
  await qmp.execute('device_add', {
    ...{ driver: 'vhost-user-fs-pci', id: `fs-p${place}`, chardev: id, tag },
    ...{ bus: `place${place}`, 'queue-size': 1024 },
  });
}
