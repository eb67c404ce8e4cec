/** The NUMA nodes of this machine: /sys/devices/system/node (numa(7)). */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pageSizeName } from '../../node/machine.ts';
import { parseCpus } from '../cpu-set.ts';

/** One node. */
export interface NumaNode {
  id: number;
  cpus: readonly number[];
  /** Bytes. */
  memory: number;
  /** Bytes of huge pages that are set aside here, by size as Kubernetes writes it: `2Mi`. */
  hugePages: ReadonlyMap<string, number>;
  /** How far each node is, by position; 10 is near. */
  distances: readonly number[];
}

/** Reads the nodes that are online; none where the kernel knows no NUMA. */
export function readNumaNodes(root = '/sys/devices/system/node'): NumaNode[] {
  return namesIn(root)
    .flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
    .map((id) => readNode(join(root, `node${id}`), id));
}

function readNode(directory: string, id: number): NumaNode {
  const text = (file: string) => {
    const path = join(directory, file);
    return existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
  };
  const hugePages = new Map<string, number>();
  for (const name of namesIn(join(directory, 'hugepages'))) {
    const kilobytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0);
    if (kilobytes === 0) continue;
    hugePages.set(
      pageSizeName(kilobytes),
      Number(text(join('hugepages', name, 'nr_hugepages'))) * kilobytes * 1024,
    );
  }
  return {
    id,
    cpus: parseCpus(text('cpulist')),
    memory: Number(/MemTotal:\s+(\d+) kB/.exec(text('meminfo'))?.[1] ?? 0) * 1024,
    hugePages,
    distances: text('distance')
      .split(/\s+/)
      .filter((word) => word !== '')
      .map(Number),
  };
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
