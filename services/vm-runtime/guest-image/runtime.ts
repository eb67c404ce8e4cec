/**
 * The OCI runtime in the guest: Debian's crun and its libraries. Of libsystemd, which crun uses for systemd's cgroups only
 * and the guest has none of, goes in a stand-in that fails every call: it saves five libraries and a third of
 * crun's start.
 */
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import { runCommand } from '#foundation/linux/command.ts';
import type { ArchiveEntry } from './cpio.ts';

const crun = '/usr/bin/crun';
const standIn = 'libsystemd.so.0';

/** The files of crun, in the guest's places. @param work a directory for what is made on the way. */
export async function runtimeEntries(work: string): Promise<ArchiveEntry[]> {
  const libraries = (await librariesOf(crun, await makeStandIn(work))).map((path) => ({
    path,
    content: readFileSync(realpathSync(path)),
  }));
  return [
    { kind: 'file', path: 'bin/crun', mode: 0o755, content: readFileSync(crun) },
    ...libraries.map(({ path, content }): ArchiveEntry => {
      const loader = path.startsWith('/lib64/');
      const name = path.split('/').at(-1);
      return { kind: 'file', path: `${loader ? 'lib64' : 'lib'}/${name}`, mode: 0o755, content };
    }),
  ];
}

/** What a program is linked with, found by its own loader, with `first` in place of what it replaces. */
async function librariesOf(program: string, first: string): Promise<string[]> {
  const env = { ...process.env, LD_LIBRARY_PATH: first };
  const { stdout } = await runCommand({ file: 'ldd', args: [program], env });
  const found = [...stdout.toString().matchAll(/(?:=>\s+|^\s+)(\/\S+) \(0x/gm)].map(
    (match) => match[1] ?? '',
  );
  if (found.length < 3 || stdout.includes('not found'))
    throw new SkiffError('FAILED_PRECONDITION', `ldd does not find the libraries of ${program}: ${stdout}`);
  return found;
}

/** Makes the stand-in of what crun itself wants. @returns its directory. */
async function makeStandIn(work: string): Promise<string> {
  const { stdout } = await runCommand({ file: 'nm', args: ['-D', '--undefined-only', crun] });
  const wanted = [...stdout.toString().matchAll(/ U (sd_\w+)@(\w+)$/gm)].map(
    ([, name = '', version = '']) => ({
      name,
      version,
    }),
  );
  const versions = Map.groupBy(wanted, ({ version }) => version);
  const code = wanted.map(({ name }) => `long ${name}(void) { return -38; } /* ENOSYS */\n`).join('');
  const map = [...versions]
    .map(([version, names]) => `${version} { global: ${names.map(({ name }) => `${name};`).join(' ')} };\n`)
    .join('');
  const [source, script] = [join(work, 'systemd.c'), join(work, 'systemd.map')];
  writeFileSync(source, code);
  writeFileSync(script, map);
  const linker = [`-Wl,-soname,${standIn}`, `-Wl,--version-script,${script}`];
  const args = ['-shared', '-fPIC', '-Os', '-s', '-nostdlib', ...linker, '-o', join(work, standIn), source];
  await runCommand({ file: 'gcc', args });
  return work;
}
