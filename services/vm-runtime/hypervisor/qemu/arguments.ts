/**
 * QEMU's command line. Every figure and flag was measured with QEMU 7.2 and Debian's cloud kernel; the comments say
 * what each is for. Descriptors are numbered as the process has them.
 */
import { SkiffError } from '#foundation/base/errors.ts';
import { agentPortName, type GuestImage } from '../../guest-image/types.ts';
import type { VmNic, VmShare } from '../types.ts';
import { nameArgument } from './record.ts';

/** Places for NICs and shares that are added later: PCI Express ports of one device each. */
export const hotplugPlaces = 9;

/** A machine to start. */
export interface Machine {
  directory: string;
  vcpus: number;
  memoryBytes: number;
  acceleration: 'kvm' | 'tcg';
  hotplug: boolean;
  memory: 'shared' | 'cow';
  /** Left out for a machine whose state comes from a template. */
  boot?: { image: GuestImage; parameters: readonly string[] };
  nics: readonly Pick<VmNic, 'mac'>[];
  shares: readonly Pick<VmShare, 'tag'>[];
}

/** Descriptors of the process, by what they are for. */
export interface MachineFds {
  memory: number;
  qmp: number;
  agent: number;
  console: number;
  kernel?: number;
  initrd?: number;
  taps: number[];
  shares: number[];
}

/** The arguments. @throws SkiffError INVALID_ARGUMENT for a MAC or tag that is none. */
export function machineArguments(machine: Machine, fds: MachineFds): string[] {
  return [
    ...['-name', nameArgument(machine.directory)],
    ...platform(machine),
    ...memory(machine, fds),
    ...boot(machine, fds),
    ...standardDevices(fds),
    ...machine.nics.flatMap((nic, index) => nicArguments(nic, index, fds.taps[index] ?? -1)),
    ...machine.shares.flatMap((share, index) => shareArguments(share, index, fds.shares[index] ?? -1)),
    ...(machine.boot === undefined ? ['-incoming', 'defer'] : []),
  ];
}

function platform({ acceleration, hotplug, vcpus }: Machine): string[] {
  const tcg = acceleration === 'tcg';
  // The timers of old (pit, pic) are not needed; under emulation they hang a boot now and then (see tscParameter).
  const options = 'x-option-roms=off,isa-serial=on,rtc=on,pit=off,pic=off,dump-guest-core=off,mem-merge=off';
  const ports = Array.from({ length: hotplug ? hotplugPlaces : 0 }, (_, place) => [
    '-device',
    // Without a power controller a new device is there at once, and a scan of the guest's finds it: 10 ms. The
    // kernel's own hot-plug driver would wait 170 ms.
    `pcie-root-port,id=place${place},chassis=${place + 1},slot=${place + 1},addr=${place + 1}.0,power_controller_present=off,io-reserve=0`,
  ]).flat();
  return [
    ...['-machine', `microvm,${options},memory-backend=mem0${hotplug ? ',pcie=on' : ''}`],
    // Translated code is bounded: it is memory of the host's beyond the guest's own, a gigabyte if nobody says.
    // Of the emulated processors the plain one boots quickest; images expect the extensions of x86-64-v2. Without a
    // timer that always runs (arat) the guest ticks 250 times a second for ever: 5% of a core, idle.
    ...(tcg
      ? [
          '-accel',
          'tcg,thread=multi,tb-size=128',
          '-cpu',
          'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand,+arat',
        ]
      : ['-accel', 'kvm', '-cpu', 'host']),
    ...['-smp', String(vcpus), '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    // Whatever a guest makes of it: no other program, no other user, no further limits.
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    // virtiofsd speaks only the modern protocol, and the guest would hang with the old one.
    ...['-global', 'virtio-mmio.force-legacy=false'],
    ...ports,
  ];
}

function memory(machine: Machine, fds: MachineFds): string[] {
  const mb = machine.memoryBytes / (1024 * 1024);
  const share = machine.memory === 'shared' ? 'on' : 'off';
  const path = `/proc/self/fd/${fds.memory}`;
  return [
    '-m',
    String(mb),
    '-object',
    `memory-backend-file,id=mem0,size=${mb}M,share=${share},mem-path=${path}`,
  ];
}

function boot({ boot: what }: Machine, fds: MachineFds): string[] {
  if (what === undefined) return [];
  return [
    ...['-kernel', `/proc/self/fd/${fds.kernel}`],
    ...['-initrd', `/proc/self/fd/${fds.initrd}`],
    ...['-append', what.parameters.join(' ')],
  ];
}

function standardDevices(fds: MachineFds): string[] {
  // Pages that the guest frees go back to the host. Memory that is shared copy-on-write cannot: a hole would be the
  // template's. The device must be there all the same, since the template had it.
  const balloon = 'virtio-balloon-device,id=balloon0,deflate-on-oom=on,free-page-reporting=on';
  return [
    ...['-chardev', `socket,id=qmp,fd=${fds.qmp},server=on,wait=off`, '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `socket,id=console,fd=${fds.console},server=on,wait=off`, '-serial', 'chardev:console'],
    ...['-chardev', `socket,id=agent,fd=${fds.agent},server=on,wait=off`],
    ...['-device', 'virtio-serial-device,id=serial0'],
    ...['-device', `virtserialport,bus=serial0.0,chardev=agent,name=${agentPortName}`],
    ...['-device', 'virtio-rng-device'],
    ...['-device', balloon],
    ...['-device', 'virtio-scsi-device,id=scsi0'],
  ];
}

function nicArguments({ mac }: Pick<VmNic, 'mac'>, index: number, fd: number): string[] {
  return [
    ...['-netdev', `tap,id=net${index},fd=${fd}`],
    ...['-device', `virtio-net-device,id=nic${index},netdev=net${index},mac=${checkedMac(mac)}`],
  ];
}

function shareArguments({ tag }: Pick<VmShare, 'tag'>, index: number, fd: number): string[] {
  return [
    ...['-chardev', `socket,id=share${index},fd=${fd}`],
    ...['-device', `vhost-user-fs-device,chardev=share${index},tag=${checkedName(tag)},queue-size=1024`],
  ];
}

/** @throws SkiffError INVALID_ARGUMENT unless it is six pairs of hexadecimal digits. */
export function checkedMac(mac: string): string {
  if (/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) return mac;
  throw new SkiffError('INVALID_ARGUMENT', `"${mac}" is no MAC address`);
}

/** Names get into option lists, where a comma would begin another option. @throws SkiffError INVALID_ARGUMENT. */
export function checkedName(name: string): string {
  if (/^[\w-]{1,36}$/.test(name)) return name;
  throw new SkiffError('INVALID_ARGUMENT', `"${name}" cannot be a name: only letters, digits, "_" and "-"`);
}
