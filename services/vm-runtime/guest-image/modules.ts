/** Kernel modules for the guest: which, in which order, by what each says it depends on. */
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';

/**
 * What the agent loads together, and when: `base` (which the others need not repeat) and with a PCI bus `pci` at boot,
 * the others when first needed.
 * Only the last of a chain is named; the rest follows from it.
 */
export const moduleGroups = {
  base: ['virtio_mmio', 'virtio_console'],
  pci: ['virtio_pci'],
  net: ['virtio_net'],
  virtiofs: ['virtiofs'],
  overlay: ['overlay'],
  block: ['virtio_blk', 'virtio_scsi', 'sd_mod'],
  erofs: ['erofs'],
  squashfs: ['squashfs'],
  extra: ['virtio_rng', 'virtio_balloon'],
  bridge: ['bridge', 'veth'],
} as const;

/** The modules of each group in the order to load, and every file that is needed. */
export interface ModuleSet {
  /** File names without directory, by group. */
  order: ReadonlyMap<string, readonly string[]>;
  /** Paths on this machine. */
  files: readonly string[];
}

/** @param tree the directory of one kernel's modules, `.../lib/modules/6.1.0-56-cloud-amd64`. */
export function resolveModules(tree: string): ModuleSet {
  const paths = new Map(globSync(`${tree}/kernel/**/*.ko`).map((path) => [nameOf(path), path]));
  const order = new Map<string, string[]>();
  const files = new Set<string>();
  for (const [group, wanted] of Object.entries(moduleGroups)) {
    const found: string[] = [];
    for (const name of wanted) visit(name, paths, found, []);
    const base = order.get('base') ?? [];
    order.set(
      group,
      found.map((path) => basename(path)).filter((name) => !base.includes(name)),
    );
    for (const path of found) files.add(path);
  }
  return { order, files: [...files] };
}

/** Adds a module behind all that it depends on. */
function visit(name: string, paths: ReadonlyMap<string, string>, found: string[], above: string[]): void {
  const path = paths.get(name);
  if (path === undefined)
    throw new SkiffError('NOT_FOUND', `The guest's kernel has no module ${[...above, name].join(' -> ')}`);
  if (found.includes(path)) return;
  if (above.includes(name))
    throw new SkiffError('INTERNAL', `Modules depend on themselves: ${[...above, name].join(' -> ')}`);
  for (const next of dependenciesOf(readFileSync(path))) visit(next, paths, found, [...above, name]);
  found.push(path);
}

/** What a module's `.modinfo` says it depends on. */
export function dependenciesOf(module: Buffer): string[] {
  const key = Buffer.from('\0depends=');
  const at = module.indexOf(key);
  if (at < 0) return [];
  const from = at + key.length;
  const text = module.subarray(from, module.indexOf(0, from)).toString('latin1');
  return text === '' ? [] : text.split(',').map(plain);
}

function nameOf(path: string): string {
  return plain(basename(path, '.ko'));
}

/** The kernel takes `-` and `_` in a module's name for the same. */
function plain(name: string): string {
  return name.replaceAll('-', '_');
}
