/**
 * Lets crun run where it refuses to: crun 1.8 gives up when the version 2 cgroup tree beside version 1 hierarchies
 * holds a controller (a kernel with hugetlb and nothing that mounts it is enough). The launcher starts it in a
 * mount namespace of its own in which that list of controllers is empty; crun then uses the version 1
 * hierarchies, where the controllers of containers are. Nothing else differs, and nothing changes outside:
 * mounts still propagate both ways, and the namespace ends with crun.
 *
 * It is Perl because a shell has no unshare(2) and would start two more programs, and perl-base is on every Debian.
 */
import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileSync } from '#foundation/base/files.ts';

const perl = '/usr/bin/perl';

/** Numbers of unshare(2) and mount(2). */
const syscalls: Readonly<Record<string, { unshare: number; mount: number }>> = {
  x64: { unshare: 272, mount: 165 },
  arm64: { unshare: 97, mount: 40 },
};

/**
 * Writes the launcher of a crun.
 *
 * @param tree where the version 2 tree is mounted.
 * @returns its path; undefined where it cannot work.
 */
export function writeHybridLauncher(directory: string, crun: string, tree: string): string | undefined {
  const numbers = syscalls[process.arch];
  if (numbers === undefined || !existsSync(perl)) return undefined;
  const path = join(directory, 'crun-hybrid');
  replaceFileSync(path, launcher(crun, tree, numbers), { durable: false, mode: 0o700 });
  chmodSync(path, 0o700);
  return path;
}

function launcher(
  crun: string,
  tree: string,
  { unshare, mount }: { unshare: number; mount: number },
): string {
  return `#!${perl}
# Written by Skiff: starts crun where the version 2 cgroup tree seems to hold no controllers.
my ($none, $null, $tree) = ("none\\0", "/dev/null\\0", ${quoted(tree)});
my ($mount, $list) = ("$tree\\0", "$tree/cgroup.controllers\\0");
syscall(${unshare}, 0x20000) == 0 or die "unshare: $!\\n";
syscall(${mount}, $none, $mount, $none, 1 << 18, 0) == 0 or die "make $tree private: $!\\n";
syscall(${mount}, $null, $list, $none, 4096, 0) == 0 or die "hide $tree/cgroup.controllers: $!\\n";
exec { ${quoted(crun)} } ${quoted(crun)}, @ARGV;
die "exec: $!\\n";
`;
}

/** A Perl string in single quotes. */
function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
