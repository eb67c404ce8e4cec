/** Makes a usable system of extracted packages: a shell, users, a place for temporary files, no leftovers. */
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { chmod, lutimes, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand, tryCommand } from '#foundation/linux/command.ts';

/** What packages bring and images need not: documents, and apt's and dpkg's own files. */
const useless = [
  'usr/share/doc',
  'usr/share/man',
  'usr/share/info',
  'usr/share/locale',
  'usr/share/lintian',
  'usr/share/initramfs-tools',
  'etc/apt',
  'etc/dpkg',
  'etc/hostname',
  'etc/resolv.conf',
  'etc/fstab',
  'var/cache/apt',
  'var/cache/ldconfig',
  'var/lib/apt',
  'var/log',
];
/** Without dpkg nobody reads its database. */
const dpkgDatabase = 'var/lib/dpkg';

const passwd = `root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`;
const group = `root:x:0:
nogroup:x:65534:
`;

/**
 * Finishes the tree at `root`.
 *
 * @param started when the build began, in milliseconds since the epoch: what is newer was made by it.
 * @returns the time of the newest file that a package brought, in seconds: it stands for the build's time, so
 *   that the same packages give the same image.
 */
export async function finishRoot(root: string, started: number): Promise<number> {
  for (const path of useless) await rm(join(root, path), { recursive: true, force: true });
  if (!existsSync(join(root, 'usr/bin/dpkg')))
    await rm(join(root, dpkgDatabase), { recursive: true, force: true });
  await addFolders(root);
  await addUsers(root);
  await addShell(root);
  if (existsSync(join(root, 'etc/ld.so.conf')))
    await runCommand({ file: 'ldconfig', args: ['-r', root, '-X'] });
  await rm(join(root, 'var/cache/ldconfig'), { recursive: true, force: true });
  return settleTimes(root, started);
}

async function addFolders(root: string): Promise<void> {
  for (const path of ['dev', 'etc', 'proc', 'root', 'run', 'sys', 'tmp', 'usr', 'var/tmp', 'var/log'])
    await mkdir(join(root, path), { recursive: true });
  for (const path of await readdir(join(root, 'dev'))) await rm(join(root, 'dev', path), { recursive: true });
  await chmod(join(root, 'root'), 0o700);
  for (const path of ['tmp', 'var/tmp']) await chmod(join(root, path), 0o1777);
}

/** Debian's own tables where the package is there; its script would have copied them. */
async function addUsers(root: string): Promise<void> {
  for (const [name, content] of Object.entries({ passwd, group })) {
    const path = join(root, 'etc', name);
    if (existsSync(path)) continue;
    const master = join(root, `usr/share/base-passwd/${name}.master`);
    await writeFile(path, existsSync(master) ? await readFile(master) : content, { mode: 0o644 });
  }
}

const binaryFolders = ['bin', 'sbin', 'usr/bin', 'usr/sbin'];

/** A shell: dash or bash if one is there, else BusyBox, with links for all that it can do. */
async function addShell(root: string): Promise<void> {
  const busybox = ['bin/busybox', 'usr/bin/busybox'].find((path) => existsSync(join(root, path)));
  const have = new Set(binaryFolders.flatMap((path) => names(join(root, path))));
  await mkdir(join(root, 'bin'), { recursive: true });
  const shell = ['bin/dash', 'usr/bin/dash', 'bin/bash', 'usr/bin/bash'].find((path) =>
    existsSync(join(root, path)),
  );
  if (!have.has('sh') && shell !== undefined) {
    await symlink(`/${shell}`, join(root, 'bin/sh'));
    have.add('sh');
  }
  if (busybox === undefined) return;
  // It is a static program of this machine's own release: it can say what it does.
  const { stdout, exitCode } = await tryCommand({ file: join(root, busybox), args: ['--list'] });
  const applets = exitCode === 0 ? stdout.toString().split('\n') : ['sh'];
  for (const applet of applets)
    if (/^[a-z0-9[_.-]+$/i.test(applet) && !have.has(applet))
      await symlink(`/${busybox}`, join(root, 'bin', applet));
}

function names(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

/** Gives everything that the build itself made one time. */
async function settleTimes(root: string, started: number): Promise<number> {
  const entries = readdirSync(root, { recursive: true, encoding: 'utf8' }).map((path) => join(root, path));
  const made: string[] = [root];
  let newest = 0;
  for (const path of entries) {
    const { mtimeMs } = lstatSync(path);
    if (mtimeMs >= started - 1000) made.push(path);
    else newest = Math.max(newest, Math.floor(mtimeMs / 1000));
  }
  for (const path of made) await lutimes(path, newest, newest);
  return newest;
}
