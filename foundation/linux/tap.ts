/** Taps: network interfaces whose other end is a descriptor. See the kernel's Documentation/networking/tuntap.rst. */
import { closeSync, openSync } from 'node:fs';
import { check, declare } from './libc.ts';

const ioctl = declare('int ioctl(int fd, unsigned long request, void *argument)');

const TUNSETIFF = 0x400454ca;
/** IFF_TAP | IFF_NO_PI | IFF_VNET_HDR: <linux/if_tun.h>. Frames carry the header that virtio-net uses for offloads. */
const flags = 0x0002 | 0x1000 | 0x4000;

/**
 * Makes a tap in the current network namespace. It goes when the last copy of its descriptor is closed.
 *
 * @param name at most 15 bytes.
 * @returns the descriptor, which the caller closes; closed on exec.
 * @throws SkiffError FAILED_PRECONDITION (errno EBUSY) if there is an interface of that name, NOT_FOUND without
 *   /dev/net/tun.
 */
export function openTap(name: string): number {
  const fd = openSync('/dev/net/tun', 'r+');
  try {
    const request = Buffer.alloc(40); // struct ifreq
    request.write(name, 0, 15);
    request.writeUInt16LE(flags, 16);
    check(ioctl(fd, TUNSETIFF, request), `Cannot make the tap "${name}"`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
