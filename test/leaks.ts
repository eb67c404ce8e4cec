/**
 * Finds what a Skiff root left on the machine: mounts, pinned namespaces, interfaces, cgroups, packet-filter
 * rules and processes. Tests take a snapshot first, do their work, clean up, and ask what is left.
 *
 * ```ts
 * const leaks = leakCheck(root);
 * t.after(() => leaks.assertClean());
 * ```
 * Only things that name the root's path or its tag are looked at, so tests of several roots can run at once.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathsUnder } from '#foundation/base/paths.ts';
import { listMounts } from '#foundation/linux/mount.ts';

/** A snapshot to compare with. */
export interface LeakCheck {
  /** What is there now and was not when the snapshot was taken, one line for each thing. */
  left(): string[];
  /**
   * Fails if anything is left. The kernel ends some things a moment later (a veth of a dead namespace), so
   * it looks again until `graceMs` milliseconds (3,000 unless told) are over.
   */
  assertClean(graceMs?: number): Promise<void>;
}

/** Takes a snapshot of everything that belongs to the Skiff root at `root`. */
export function leakCheck(root: string): LeakCheck {
  const before = new Set(belongings(root));
  const left = () => belongings(root).filter((line) => !before.has(line));
  return {
    left,
    async assertClean(graceMs = 3000) {
      const end = performance.now() + graceMs;
      let lines = left();
      while (lines.length > 0 && performance.now() < end) {
        await sleep(50);
        lines = left();
      }
      if (lines.length > 0) throw new Error(`Left behind by ${root}:\n  ${lines.join('\n  ')}`);
    },
  };
}

/** Everything on the machine that belongs to `root` now. */
function belongings(root: string): string[] {
  const { tag } = pathsUnder(root);
  return [
    ...mountsOf(root),
    ...interfacesOf(tag),
    ...cgroupsOf(tag),
    ...rulesOf(tag),
    ...processesOf(root, tag),
  ];
}

function mountsOf(root: string): string[] {
  return listMounts()
    .filter((entry) => entry.target === root || entry.target.startsWith(`${root}/`))
    .map((entry) => `mount ${entry.type} ${entry.target}`);
}

/** Interfaces named or aliased with the tag, and those attached to such a bridge. */
function interfacesOf(tag: string): string[] {
  return readdirSync('/sys/class/net')
    .filter((name) => {
      const directory = `/sys/class/net/${name}`;
      return (
        name.includes(tag) ||
        linkName(`${directory}/master`).includes(tag) ||
        textOf(`${directory}/ifalias`).includes(tag)
      );
    })
    .map((name) => `interface ${name}`);
}

/** Cgroups of any hierarchy with the tag in their path. */
function cgroupsOf(tag: string): string[] {
  return globSync('/sys/fs/cgroup/**/')
    .filter((path) => path.includes(tag))
    .map((path) => `cgroup ${path}`);
}

/** Lines of the packet filter that name the tag; iptables-nft's rules are among nft's. */
function rulesOf(tag: string): string[] {
  const nft = outputOf('nft', ['list', 'ruleset']);
  const legacy = existsSync('/proc/net/ip_tables_names') ? outputOf('iptables-legacy-save', []) : '';
  return `${nft}\n${legacy}`
    .split('\n')
    .filter((line) => line.includes(tag))
    .map((line) => `rule ${line.trim()}`);
}

/** Processes with the root in their command line, the tag in their cgroup, or files of the root as their root. */
function processesOf(root: string, tag: string): string[] {
  const own = ownProcesses();
  const namespace = linkName('/proc/self/ns/mnt');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && !own.has(name))
    .filter((pid) => {
      if (textOf(`/proc/${pid}/cmdline`).includes(root)) return true;
      if (textOf(`/proc/${pid}/cgroup`).includes(tag)) return true;
      return linkName(`/proc/${pid}/ns/mnt`) !== namespace && rootMountOf(pid).includes(`${root}/`);
    })
    .map((pid) => `process ${pid} ${textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()}`);
}

/**
 * The line of a process's mount table that is its root: a container's names the directories of its image. Other
 * lines may be copies of this root's mounts that any private mount namespace took along.
 */
function rootMountOf(pid: string): string {
  const lines = textOf(`/proc/${pid}/mountinfo`).split('\n');
  return lines.find((line) => line.split(' ')[4] === '/') ?? '';
}

/** This process and those that started it: a test's own command line may name its root. */
function ownProcesses(): Set<string> {
  const own = new Set<string>();
  for (let pid = String(process.pid); pid !== '0' && pid !== ''; ) {
    own.add(pid);
    pid = /^PPid:\s+(\d+)$/m.exec(textOf(`/proc/${pid}/status`))?.[1] ?? '';
  }
  return own;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // Gone meanwhile, or not ours to read.
  }
}

function linkName(path: string): string {
  try {
    return readlinkSync(path).split('/').at(-1) ?? '';
  } catch {
    return '';
  }
}

function outputOf(file: string, args: string[]): string {
  try {
    return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return ''; // The tool is not installed: then it made no rules either.
  }
}
