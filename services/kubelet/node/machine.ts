/** What this machine is: read once from /proc, /sys and os-release(5). */
import { readdirSync, readFileSync } from 'node:fs';
import { arch, availableParallelism, release } from 'node:os';

/** Facts that do not change while the machine runs. */
export interface Machine {
  /** machine-id(5). */
  machineId: string;
  /** DMI's product UUID, or the machine id where the firmware has none. */
  systemUuid: string;
  bootId: string;
  kernelVersion: string;
  /** PRETTY_NAME of os-release. */
  osImage: string;
  /** As Go names it: amd64, arm64. */
  architecture: string;
  cpus: number;
  /** Bytes. */
  memory: number;
  /** Bytes. */
  swap: number;
  /** Sizes of huge pages as Kubernetes writes them (`2Mi`), with how many bytes of each are set aside. */
  hugePages: ReadonlyMap<string, number>;
  /** When it booted, milliseconds since the epoch. */
  bootedAt: number;
}

/** Reads the machine's facts. */
export function readMachine(): Machine {
  const memory = parseMeminfo(text('/proc/meminfo'));
  const machineId =
    text('/etc/machine-id') || text('/var/lib/dbus/machine-id') || text('/proc/sys/kernel/random/boot_id');
  const names: Record<string, string> = { x64: 'amd64', ia32: '386' };
  return {
    machineId,
    systemUuid: text('/sys/class/dmi/id/product_uuid') || machineId,
    bootId: text('/proc/sys/kernel/random/boot_id'),
    kernelVersion: release(),
    osImage: prettyName(text('/etc/os-release')),
    architecture: names[arch()] ?? arch(),
    cpus: availableParallelism(),
    memory: memory.get('MemTotal') ?? 0,
    swap: memory.get('SwapTotal') ?? 0,
    hugePages: readHugePages('/sys/kernel/mm/hugepages'),
    bootedAt: Number(/^btime (\d+)/m.exec(text('/proc/stat'))?.[1] ?? 0) * 1000,
  };
}

/** The lines of /proc/meminfo in bytes. */
export function parseMeminfo(content: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const [, name = '', number, unit] of content.matchAll(/^(\S+):\s+(\d+)( kB)?$/gm))
    values.set(name, Number(number) * (unit === undefined ? 1 : 1024));
  return values;
}

function prettyName(content: string): string {
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(content)?.[1] ?? 'Linux';
}

function readHugePages(directory: string): Map<string, number> {
  const pages = new Map<string, number>();
  for (const name of entries(directory)) {
    const kilobytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0);
    if (kilobytes === 0) continue;
    const count = Number(text(`${directory}/${name}/nr_hugepages`));
    pages.set(pageSizeName(kilobytes), count * kilobytes * 1024);
  }
  return pages;
}

/** Kubernetes' name of a page size. */
export function pageSizeName(kilobytes: number): string {
  if (kilobytes % 2 ** 20 === 0) return `${kilobytes / 2 ** 20}Gi`;
  return kilobytes % 1024 === 0 ? `${kilobytes / 1024}Mi` : `${kilobytes}Ki`;
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** A file's text without the line's end; empty if it cannot be read. */
function text(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
