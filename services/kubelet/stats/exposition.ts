/** The Prometheus text format for figures that are read when asked for. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { CgroupLayout } from '#foundation/linux/cgroups.ts';

/** What metrics need beside the statistics. */
export interface MetricDeps {
  layout: CgroupLayout;
  memoryCapacity: number;
  cpus: number;
  podCgroup: (pod: Pod) => string;
}

/** One sample: labels and value. */
export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number | undefined];

/** A family of samples. */
export interface Family {
  name: string;
  kind: 'counter' | 'gauge';
  help: string;
  samples: readonly Sample[];
}

/** The text of families; those without a sample are left out. */
export function exposition(families: readonly Family[]): string {
  return families.map(familyText).join('');
}

function familyText({ name, kind, help, samples }: Family): string {
  const rows = samples.flatMap(([labels, value]) =>
    value === undefined ? [] : [`${name}${labelText(labels)} ${value}`],
  );
  if (rows.length === 0) return '';
  return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${rows.join('\n')}\n`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${quoted(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function quoted(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
