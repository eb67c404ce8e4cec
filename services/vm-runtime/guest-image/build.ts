/**
 * Makes the guest: Debian's kernel as it comes, once more prepared for emulation (emulation.ts), and an initial file system
 * of our PID 1, crun and modules. The result lies in a directory named by the content of all that went in, is made once,
 * and is never changed.
 *
 * package (.deb, checksummed) -> bzImage -> vmlinux -> vmlinux.emulated; modules in order; guest/*.c -> PID 1; crun -> initrd
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errnoOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { syncDirectory } from '#foundation/base/files.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { runCommand } from '#foundation/linux/command.ts';
import { agentFiles, compileAgent, compileLaunch, launchFiles } from './agent.ts';
import { type ArchiveEntry, cpioArchive } from './cpio.ts';
import { prepareForEmulation } from './emulation.ts';
import { extractVmlinux, unpackPackage } from './kernel.ts';
import { type ModuleSet, resolveModules } from './modules.ts';
import { runtimeEntries } from './runtime.ts';
import type { GuestImage } from './types.ts';

/** Where `skiff setup vm` puts Debian's kernel package. */
export const defaultPackageDirectory = '/var/cache/skiff/vm';

/** The form of what is made; part of the name, so that a newer Skiff makes its own. */
const formatVersion = 2;

/**
 * Parts of the kernel that no pod needs and that would make each boot longer, by the function that begins them: tracing's
 * files (200 ms under emulation), certificates that modules could be signed with, measurement of files, hibernation,
 * the figures of single kernel caches, a clock chip (the host tells the time).
 */
const leftOut = [
  'init_kprobe_trace',
  'ftrace_check_for_weak_functions',
  'trace_eval_init',
  'tracer_init_tracefs',
  'init_trace_printk_function_export',
  'init_blk_tracer',
  'crypto_kdf108_init',
  'load_system_certificate_list',
  'init_ima',
  'snapshot_device_init',
  'slab_sysfs_init',
  'cmos_init',
];

/** Needed whatever the hypervisor; each was measured (docs of the kernel: admin-guide/kernel-parameters). */
const kernelParameters = [
  // Warnings are heard, one above all: see boot-guard.ts of the hypervisor.
  'loglevel=5',
  'rdinit=/init',
  'panic=-1',
  'reboot=t',
  'cryptomgr.notests',
  'noreplace-smp',
  `initcall_blacklist=${leftOut.join(',')}`,
  // Of the security modules the one that programs use by themselves; profiles of the others are the host's.
  'lsm=landlock',
  // A VM's memory comes as zeros of the host and is one pod's until its end: no need to clear pages before each use.
  'init_on_alloc=0',
  // The first root holds PID 1 and modules; as a tmpfs it would be unpacked more slowly.
  'rootfstype=ramfs',
];

/** What making the guest needs. */
export interface GuestImageOptions {
  /** Where images are kept. */
  directory: string;
  /** Where the kernel's package is; where `skiff setup vm` put it unless told. */
  packageDirectory?: string;
  /** Told when the image must be made, and what slows its boot down. */
  onBuild?: (line: string) => void;
}

/** What an image's directory says of itself. */
interface Manifest {
  formatVersion: number;
  kernelVersion: string;
  /** SHA-256 by file name. */
  files: Record<string, string>;
}

const fileNames = {
  vmlinux: 'vmlinux',
  emulated: 'vmlinux.emulated',
  bzImage: 'bzImage',
  initrd: 'initrd.cpio',
};

/**
 * The guest image of this Skiff and this machine's packages; made if it is not there.
 *
 * @throws SkiffError FAILED_PRECONDITION if packages are missing: `skiff setup vm` installs them.
 */
export async function guestImage(options: GuestImageOptions): Promise<GuestImage> {
  const deb = findPackage(options.packageDirectory ?? defaultPackageDirectory);
  const digest = digestOf(deb);
  const place = join(options.directory, digest.slice(0, 32));
  if (!existsSync(join(place, 'manifest.json'))) {
    options.onBuild?.('making the guest of VM pods');
    await build(deb, place, options.onBuild);
  }
  return open(place, digest);
}

/** Compares every file of an image with its checksum. @throws SkiffError DATA_LOSS for one that differs. */
export async function verifyGuestImage(image: GuestImage): Promise<void> {
  const directory = join(image.initrdPath, '..');
  const manifest = readManifest(directory);
  for (const [name, expected] of Object.entries(manifest.files)) {
    if (hashOf(await readFile(join(directory, name))) !== expected)
      throw new SkiffError(
        'DATA_LOSS',
        `${join(directory, name)} was changed; remove ${directory}, it is made anew`,
      );
  }
}

/**
 * The newest of the kernel packages in a directory.
 *
 * @throws SkiffError FAILED_PRECONDITION if there is none: `skiff setup vm` downloads it.
 */
export function findPackage(directory: string): string {
  const found = globSync(join(directory, 'linux-image-*-cloud-amd64_*.deb')).sort();
  const deb = found.at(-1);
  if (deb === undefined || !existsSync(`${deb}.sha256`))
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `There is no kernel for VM pods in ${directory}: run \`skiff setup vm\` once`,
    );
  return deb;
}

/** Names all that goes in; cheap enough for every start: 3 MB are read. */
function digestOf(deb: string): string {
  const hash = createHash('sha256').update(`${formatVersion}\n${basename(deb)}\n`);
  hash.update(readFileSync(`${deb}.sha256`));
  const own = globSync(fileURLToPath(new URL('*.ts', import.meta.url))).filter(
    (path) => !path.endsWith('.test.ts'),
  );
  for (const path of [...agentFiles(), ...launchFiles(), ...own.sort(), '/usr/bin/crun']) {
    if (!existsSync(path))
      throw new SkiffError('FAILED_PRECONDITION', `${path} is missing: run \`skiff setup vm\` once`);
    hash.update(`${basename(path)}\n`).update(readFileSync(path));
  }
  return hash.digest('hex');
}

async function build(deb: string, place: string, say: GuestImageOptions['onBuild']): Promise<void> {
  const draft = `${place}.${randomBytes(4).toString('hex')}.draft`;
  await using undo = undoStack();
  try {
    await checkPackage(deb);
    await mkdir(draft, { recursive: true });
    undo.defer('remove the draft', () => rm(draft, { recursive: true, force: true }));
    const work = join(draft, 'work');
    await mkdir(work);
    const kernel = await unpackPackage(deb, join(work, 'kernel'));
    await copyFile(kernel.bzImage, join(draft, fileNames.bzImage));
    await extractVmlinux(kernel.bzImage, join(draft, fileNames.vmlinux));
    const { vmlinux, leftOut } = prepareForEmulation(
      await readFile(join(draft, fileNames.vmlinux)),
      kernel.ticksPerSecond,
    );
    await writeFile(join(draft, fileNames.emulated), vmlinux);
    for (const why of leftOut) say?.(`${kernel.version} boots slower under emulation: ${why}`);
    await writeFile(join(draft, fileNames.initrd), await makeInitrd(kernel.modules, work));
    await rm(work, { recursive: true });
    await writeManifest(draft, kernel.version);
    await publish(draft, place);
  } catch (error) {
    throw wrapError(error, `Cannot make the guest of VM pods in ${place}`);
  }
}

/** The package must be what was downloaded: apt checked it then against Debian's signature. */
async function checkPackage(deb: string): Promise<void> {
  const expected = readFileSync(`${deb}.sha256`, 'utf8').slice(0, 64);
  if (hashOf(await readFile(deb)) !== expected)
    throw new SkiffError('DATA_LOSS', `${deb} is damaged; remove it and run \`skiff setup vm\``);
}

async function makeInitrd(moduleTree: string, work: string): Promise<Buffer> {
  const init = join(work, 'init');
  const launch = join(work, 'launch');
  await Promise.all([compileAgent(init), compileLaunch(launch)]);
  const modules = resolveModules(moduleTree);
  const directories = ['bin', 'dev', 'etc', 'lib', 'lib64', 'modules', 'proc', 'run', 'sys', 'tmp'];
  return cpioArchive([
    ...directories.map((path): ArchiveEntry => ({ kind: 'directory', path })),
    // The kernel opens it for PID 1 before anything is mounted.
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'file', path: 'init', mode: 0o755, content: await readFile(init) },
    { kind: 'file', path: 'bin/launch', mode: 0o755, content: await readFile(launch) },
    ...(await runtimeEntries(work)),
    ...(await moduleEntries(modules, work)),
  ]);
}

async function moduleEntries(modules: ModuleSet, work: string): Promise<ArchiveEntry[]> {
  const entries: ArchiveEntry[] = [];
  const copies = await Promise.all(
    modules.files.map(async (path) => {
      const copy = join(work, basename(path));
      await copyFile(path, copy);
      return copy;
    }),
  );
  // Debugging data is most of their size, and the kernel reads all of it.
  await runCommand({ file: 'strip', args: ['--strip-unneeded', '--remove-section=.BTF', ...copies] });
  for (const copy of copies)
    entries.push({ kind: 'file', path: `modules/${basename(copy)}`, content: await readFile(copy) });
  for (const [group, names] of modules.order)
    entries.push({
      kind: 'file',
      path: `modules/${group}.list`,
      content: Buffer.from(`${names.join('\n')}\n`),
    });
  return entries;
}

async function writeManifest(draft: string, kernelVersion: string): Promise<void> {
  const files: Record<string, string> = {};
  for (const name of Object.values(fileNames)) files[name] = hashOf(await readFile(join(draft, name)));
  const manifest: Manifest = { formatVersion, kernelVersion, files };
  await writeFile(join(draft, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Puts the finished image in its place; one that another process put there meanwhile is as good. */
async function publish(draft: string, place: string): Promise<void> {
  for (const name of [...Object.values(fileNames), 'manifest.json'])
    await runCommand({ file: 'sync', args: [join(draft, name)] });
  try {
    await rename(draft, place);
  } catch (error) {
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error;
  }
  syncDirectory(join(place, '..'));
}

async function open(place: string, digest: string): Promise<GuestImage> {
  const manifest = readManifest(place);
  for (const name of Object.values(fileNames)) {
    if ((await stat(join(place, name))).size === 0)
      throw new SkiffError('DATA_LOSS', `${join(place, name)} is empty; remove ${place}, it is made anew`);
  }
  return {
    digest,
    vmlinuxPath: join(place, fileNames.vmlinux),
    emulatedVmlinuxPath: join(place, fileNames.emulated),
    bzImagePath: join(place, fileNames.bzImage),
    initrdPath: join(place, fileNames.initrd),
    kernelVersion: manifest.kernelVersion,
    kernelParameters,
  };
}

function readManifest(place: string): Manifest {
  const manifest = JSON.parse(readFileSync(join(place, 'manifest.json'), 'utf8')) as Manifest;
  if (manifest.formatVersion !== formatVersion)
    throw new SkiffError('FAILED_PRECONDITION', `${place} was made by another version of Skiff`);
  return manifest;
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
