/** Sets of CPUs in the kernel's list form: `0-3,8` (cpuset(7)). */
import { SkiffError } from '#foundation/base/errors.ts';

/** Parses a list. @throws SkiffError INVALID_ARGUMENT. */
export function parseCpus(text: string): number[] {
  const cpus = new Set<number>();
  for (const part of text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')) {
    const found = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (found === null)
      throw new SkiffError('INVALID_ARGUMENT', `"${text}" is not a list of CPUs such as 0-3,8`);
    const first = Number(found[1]);
    const last = Number(found[2] ?? found[1]);
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}

/** Writes a list. */
export function formatCpus(cpus: Iterable<number>): string {
  const sorted = [...new Set(cpus)].sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const cpu of sorted) {
    const last = ranges.at(-1);
    if (last !== undefined && cpu === last[1] + 1) last[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  return ranges.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(',');
}
