/** Device nodes: those that every kernel has are the guest's own, those of the host's hardware stay on the host. */
import type { DeviceRule, SpecDevice } from '#contracts/oci/runtime.ts';
import { cannot } from './refuse.ts';

/** By kind and number; what each is called: Documentation/admin-guide/devices.txt of Linux. */
const everywhere = new Set(['c 1:3', 'c 1:5', 'c 1:7', 'c 1:8', 'c 1:9', 'c 5:0', 'c 5:1', 'c 5:2']);
/** Of the guest's kernel as well. */
const ofGuest = new Set(['c 10:229', 'c 1:11']);

/** @throws SkiffError for a device of the host. */
export function guestDevices(devices: readonly SpecDevice[]): SpecDevice[] {
  for (const device of devices)
    if (!isGuestDevice(device)) throw cannot(`the device ${device.path}`, hostOnly);
  return [...devices];
}

const hostOnly = "it is the host's";

/** Whether the guest's kernel has the device under the same number. */
export function isGuestDevice({ type, major, minor }: Pick<SpecDevice, 'type' | 'major' | 'minor'>): boolean {
  if (type === 'p') return true;
  const key = `${type === 'u' ? 'c' : type} ${major ?? 0}:${minor ?? 0}`;
  return everywhere.has(key) || ofGuest.has(key);
}

/** All that containers may use: the usual list of the OCI format (config-linux.md), of the guest's devices. */
export function guestDeviceRules(): DeviceRule[] {
  const character = (major: number, minor?: number): DeviceRule => ({
    allow: true,
    type: 'c',
    major,
    ...(minor === undefined ? {} : { minor }),
    access: 'rwm',
  });
  return [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', access: 'm' },
    { allow: true, type: 'b', access: 'm' },
    ...[3, 5, 7, 8, 9].map((minor) => character(1, minor)),
    ...[0, 1, 2].map((minor) => character(5, minor)),
    character(136),
    character(10, 229),
  ];
}
