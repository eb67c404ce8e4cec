/** Reads and writes of a control group by block device: blkio.throttle.* of version 1, io.stat of version 2. */
import { type CgroupLayout, readCgroup } from '#foundation/linux/cgroups.ts';

/** Counters of one device. */
export interface DiskOperations {
  major: string;
  minor: string;
  readBytes: bigint;
  writeBytes: bigint;
  reads: bigint;
  writes: bigint;
}

/** Reads the counters of a group. */
export function readDiskOperations(layout: CgroupLayout, path: string): DiskOperations[] {
  if (layout.mode === 'unified') return parseIoStat(readCgroup(layout, 'io', path, 'io.stat') ?? '');
  const bytes = parseBlkio(readCgroup(layout, 'blkio', path, 'blkio.throttle.io_service_bytes') ?? '');
  const counts = parseBlkio(readCgroup(layout, 'blkio', path, 'blkio.throttle.io_serviced') ?? '');
  return [...bytes].map(([device, values]) => {
    const [major = '', minor = ''] = device.split(':');
    const count = counts.get(device);
    return {
      major,
      minor,
      readBytes: values.Read ?? 0n,
      writeBytes: values.Write ?? 0n,
      reads: count?.Read ?? 0n,
      writes: count?.Write ?? 0n,
    };
  });
}

/** Lines `8:0 Read 4096`. */
function parseBlkio(text: string): Map<string, Record<string, bigint>> {
  const devices = new Map<string, Record<string, bigint>>();
  for (const line of text.split('\n')) {
    const [device = '', operation = '', value = ''] = line.split(' ');
    if (!/^\d+:\d+$/.test(device) || !/^\d+$/.test(value)) continue;
    devices.set(device, { ...devices.get(device), [operation]: BigInt(value) });
  }
  return devices;
}

/** Lines `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`. */
function parseIoStat(text: string): DiskOperations[] {
  return text
    .split('\n')
    .filter((line) => /^\d+:\d+ /.test(line))
    .map((line) => {
      const [device = '', ...pairs] = line.split(' ');
      const [major = '', minor = ''] = device.split(':');
      const values = new Map(pairs.map((pair) => pair.split('=') as [string, string]));
      const value = (name: string) => BigInt(values.get(name) ?? '0');
      return {
        major,
        minor,
        readBytes: value('rbytes'),
        writeBytes: value('wbytes'),
        reads: value('rios'),
        writes: value('wios'),
      };
    });
}
