/** Disks that are added to a running VM: files opened here, handed to QEMU, shown to the guest by virtio-scsi. */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import type { VmDisk } from '../types.ts';
import { type Qmp, recordOf } from './qmp.ts';

/** Milliseconds that the guest may take to let a disk go. */
const removeMs = 10_000;

/** Adds a disk. See `Vm.addDisk`. */
export async function addDisk(qmp: Qmp, disk: VmDisk): Promise<void> {
  const { serial, readOnly } = disk;
  if (!/^[A-Za-z0-9-]{1,20}$/.test(serial))
    throw new SkiffError('INVALID_ARGUMENT', `"${serial}" is no serial: 1 to 20 letters, digits and dashes`);
  try {
    if (await hasDisk(qmp, serial)) throw new SkiffError('ALREADY_EXISTS', 'there is one of this serial');
    await using undo = undoStack();
    const fd = openSync(disk.path, readOnly ? 'r' : 'r+');
    let set: number;
    let block: boolean;
    try {
      block = fstatSync(fd).isBlockDevice();
      const added = recordOf(await qmp.execute('add-fd', { opaque: serial }, { fds: [fd] }));
      set = Number(added['fdset-id']);
    } finally {
      closeSync(fd);
    }
    undo.defer(
      'remove the descriptor',
      () => void qmp.execute('remove-fd', { 'fdset-id': set }).catch(() => {}),
    );
    await qmp.execute('blockdev-add', {
      driver: 'raw',
      'node-name': nodeOf(serial),
      'read-only': readOnly,
      file: { driver: block ? 'host_device' : 'file', filename: `/dev/fdset/${set}`, 'read-only': readOnly },
    });
    undo.defer('remove the node', () => void qmp.execute('blockdev-del', { 'node-name': nodeOf(serial) }));
    const device = { driver: 'scsi-hd', id: deviceOf(serial), bus: 'scsi0.0', drive: nodeOf(serial), serial };
    await qmp.execute('device_add', device);
    undo.commit();
  } catch (error) {
    throw wrapError(error, `Cannot add the disk "${serial}" (${disk.path})`);
  }
}

/** Removes a disk. See `Vm.removeDisk`. */
export async function removeDisk(qmp: Qmp, serial: string): Promise<void> {
  if (!(await hasDisk(qmp, serial))) return;
  try {
    const gone = deviceDeleted(qmp, deviceOf(serial));
    // One whose removal was asked for before refuses, and is gone with the event all the same.
    await qmp.execute('device_del', { id: deviceOf(serial) }).catch((error: unknown) => {
      if (!/not found/i.test(String(error)) && !/in the process of unplug/i.test(String(error))) throw error;
      if (/not found/i.test(String(error))) gone.arrived();
    });
    await gone.wait;
    await qmp.execute('blockdev-del', { 'node-name': nodeOf(serial) });
    for (const set of await setsOf(qmp, serial)) await qmp.execute('remove-fd', { 'fdset-id': set });
  } catch (error) {
    throw wrapError(error, `Cannot remove the disk "${serial}"`);
  }
}

function nodeOf(serial: string): string {
  return `disk-${serial}`;
}

function deviceOf(serial: string): string {
  return `scsi-${serial}`;
}

async function hasDisk(qmp: Qmp, serial: string): Promise<boolean> {
  const nodes = (await qmp.execute('query-named-block-nodes', { flat: true })) as unknown[];
  return nodes.some((node) => recordOf(node)['node-name'] === nodeOf(serial));
}

/** Sets of descriptors that were made for a disk. */
async function setsOf(qmp: Qmp, serial: string): Promise<number[]> {
  const sets = ((await qmp.execute('query-fdsets')) as unknown[]).map(recordOf);
  return sets
    .filter((set) => (set.fds as unknown[]).some((fd) => recordOf(fd).opaque === serial))
    .map((set) => Number(set['fdset-id']));
}

function deviceDeleted(qmp: Qmp, id: string): { wait: Promise<void>; arrived: () => void } {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    reject(new SkiffError('DEADLINE_EXCEEDED', `the guest did not let it go within ${removeMs} ms`));
  }, removeMs);
  const off = qmp.onEvent(({ event, data }) => {
    if (event === 'DEVICE_DELETED' && data.device === id) resolve();
  });
  const wait = promise.finally(() => {
    clearTimeout(timer);
    off();
  });
  wait.catch(() => {});
  return { wait, arrived: resolve };
}
