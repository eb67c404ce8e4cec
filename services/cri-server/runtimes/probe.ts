/**
 * Finds out which OCI runtimes work on this machine, by running a container with each: version numbers do not
 * tell (crun 1.8 refuses machines whose version 2 cgroup tree holds a controller beside version 1 ones).
 */
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ociVersion, type RuntimeSpec } from '#contracts/oci/runtime.ts';
import type { MonitorPaths, RuntimeFeatures, RuntimeProbe } from '#contracts/oci/runtime-driver.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { cgroupLayout } from '#foundation/linux/cgroups.ts';
import { sealProgram } from '#foundation/linux/sealed-program.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import { runSpawned, type SpawnedResult } from '#foundation/linux/spawn-command.ts';
import { commandLineDriver } from './command-line.ts';
import { runtimeMessage } from './conmon.ts';
import { writeHybridLauncher } from './hybrid-launcher.ts';
import { vmPods } from './vm.ts';
import type { VmAhead } from './vm-ahead.ts';
import { directly } from './vm-direct.ts';

/** What the probe needs. */
export interface ProbeDeps {
  spawner: Spawner;
  paths: MonitorPaths;
  /** Each runtime keeps its state in a directory of its name below this. */
  stateRoot: string;
  /** Six hex digits that tell this root's cgroups from others. */
  tag: string;
  /** Path of conmon; looked up on PATH if left out. */
  conmon?: string;
  /** Runtimes to try, the preferred first; crun and runc unless told. */
  candidates?: readonly RuntimeCandidate[];
  /** Milliseconds a runtime may take for one command; 120,000 unless told. */
  timeoutMs?: number;
  /** Whether roots can be made with the owners of a user namespace; if left out, containers get none. */
  mappedRoots?: boolean;
  /** What runtimes whose pods are VMs make ready before it is wanted. */
  vmsAhead?: VmAhead;
  /** Holds copies of the runtimes in sealed memory, from which they start sooner; from their files if left out. */
  sealed?: DisposableStack;
}

/** A runtime that may be there. */
export interface RuntimeCandidate {
  name: string;
  /** Path, or a name looked up on PATH; the candidate's name if left out. */
  path?: string;
}

/** What Skiff looks for unless told: crun starts a container in two thirds of runc's time. */
const defaultCandidates: readonly RuntimeCandidate[] = [{ name: 'crun' }, { name: 'runc' }];

/** Milliseconds for the trial container. */
const trialTimeoutMs = 10_000;

/** Tries each runtime; the answer has one entry for each candidate, in their order. */
export async function probeRuntimes(deps: ProbeDeps): Promise<RuntimeProbe[]> {
  const conmon = deps.conmon ?? findProgram('conmon');
  const candidates = deps.candidates ?? defaultCandidates;
  return Promise.all(candidates.map((candidate) => probeOne(deps, candidate, conmon)));
}

async function probeOne(
  deps: ProbeDeps,
  candidate: RuntimeCandidate,
  conmon: string | undefined,
): Promise<RuntimeProbe> {
  const { name } = candidate;
  const path = findProgram(candidate.path ?? name);
  if (path === undefined)
    return {
      name,
      usable: false,
      reason: `no program ${candidate.path ?? name}`,
      remedy: `apt-get install ${name}`,
    };
  let version: string | undefined;
  try {
    const about = (await runnerOf(deps, path)(['--version'])).stdout;
    version = about.split('\n')[0]?.trim() || undefined;
    if (version === undefined) throw new SkiffError('FAILED_PRECONDITION', 'it does not tell its version');
    if (conmon === undefined) throw new SkiffError('FAILED_PRECONDITION', 'conmon is not installed');
    const isVm = vmRuntime.test(about);
    if (isVm) await expectReady(runnerOf(deps, path));
    const program = isVm ? path : await workingProgram(deps, name, path);
    return {
      name,
      path,
      usable: true,
      version,
      driver: driverOf(deps, { name, path: program, version, about }, conmon),
    };
  } catch (error) {
    const reason = messageOf(error);
    return { name, path, usable: false, version, reason, remedy: remedyFor(name, reason) };
  }
}

/** What the runtime of pod VMs says of itself. A trial container would boot one at each start of the server. */
const vmRuntime = /^skiff-vm /;

/** @throws SkiffError with what is missing for VMs. */
async function expectReady(run: Run): Promise<void> {
  const result = await run(['check']);
  if (result.exitCode !== 0)
    throw new SkiffError('FAILED_PRECONDITION', runtimeMessage(result.stderr).replace(/^skiff-vm: /, ''));
}

type Run = (args: string[]) => Promise<SpawnedResult>;

function runnerOf(deps: ProbeDeps, file: string): Run {
  const env = { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin' };
  const timeoutMs = Math.min(trialTimeoutMs, deps.timeoutMs ?? trialTimeoutMs);
  return (args) => runSpawned(deps.spawner, { file, args, env, timeoutMs });
}

/** The program to start: the runtime itself, or what makes it work here. @throws what the runtime said. */
async function workingProgram(deps: ProbeDeps, name: string, path: string): Promise<string> {
  const sealed = sealedCopy(deps, path);
  if (sealed === undefined) return tryProgram(deps, name, path);
  try {
    return await tryProgram(deps, name, sealed);
  } catch {
    // A machine may forbid programs in memory: vm.memfd_noexec.
    return tryProgram(deps, name, path);
  }
}

function sealedCopy({ sealed, stateRoot }: ProbeDeps, path: string): string | undefined {
  try {
    return sealed?.use(sealProgram(path, join(stateRoot, 'sealed'))).path;
  } catch {
    return undefined;
  }
}

/** Runs a container. @returns the program, or the launcher with which it worked. */
async function tryProgram(deps: ProbeDeps, name: string, program: string): Promise<string> {
  try {
    await tryContainer(deps, name, runnerOf(deps, program));
    return program;
  } catch (error) {
    const tree = cgroupLayout().v2;
    const hybrid = name === 'crun' && tree !== undefined && hybridRefusal.test(messageOf(error));
    const launcher = hybrid ? writeHybridLauncher(deps.stateRoot, program, tree) : undefined;
    if (launcher === undefined) throw error;
    await tryContainer(deps, name, runnerOf(deps, launcher));
    return launcher;
  }
}

/** What crun 1.8 says where version 2 controllers stand beside version 1 hierarchies. */
const hybridRefusal = /hybrid mode not supported/;

/** A runtime that works, with all that `--version` says. */
interface Found {
  name: string;
  path: string;
  version: string;
  about: string;
}

function driverOf(deps: ProbeDeps, { name, path, version, about }: Found, conmon: string) {
  const stateDirectory = join(deps.stateRoot, name);
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const { spawner, paths, timeoutMs = 120_000 } = deps;
  const features = featuresOf(name, about, deps.mappedRoots === true);
  const ahead = deps.vmsAhead === undefined ? {} : { ahead: deps.vmsAhead };
  const pods = vmRuntime.test(about)
    ? vmPods({ spawner, path, stateDirectory, timeoutMs, ...ahead })
    : undefined;
  const driver = commandLineDriver({
    spawner,
    paths,
    conmon,
    name,
    path,
    version,
    features,
    stateDirectory,
    timeoutMs,
  });
  if (pods === undefined) return driver;
  return { ...directly({ spawner, stateDirectory, timeoutMs }, driver), pods };
}

/** Runs `/bin/true` of this machine in a container. */
async function tryContainer(deps: ProbeDeps, name: string, run: Run): Promise<void> {
  mkdirSync(deps.stateRoot, { recursive: true, mode: 0o700 });
  const directory = mkdtempSync(join(deps.stateRoot, 'probe-'));
  const root = `--root=${join(directory, 'state')}`;
  const id = `probe-${name}-${directory.slice(-6)}`;
  try {
    mkdirSync(join(directory, 'rootfs'));
    writeFileSync(join(directory, 'config.json'), JSON.stringify(trialSpec(`/skiff-${deps.tag}-${id}`)));
    const result = await run([root, 'run', '--bundle', directory, id]);
    if (result.exitCode !== 0)
      throw new SkiffError('FAILED_PRECONDITION', runtimeMessage(result.stderr || result.stdout));
  } finally {
    await run([root, 'delete', '--force', id]).catch(() => {});
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The smallest container that shows that a runtime works: this machine's programs, read-only. */
function trialSpec(cgroupsPath: string): RuntimeSpec {
  const shared = ['/bin', '/lib', '/lib64', '/usr'].flatMap((destination) => {
    try {
      return [{ destination, type: 'bind', source: realpathSync(destination), options: ['rbind', 'ro'] }];
    } catch {
      return [];
    }
  });
  return {
    ociVersion,
    process: { user: { uid: 0, gid: 0 }, args: ['/bin/true'], cwd: '/', env: ['PATH=/bin:/usr/bin'] },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
      ...shared,
    ],
    linux: { namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }], cgroupsPath },
  };
}

function featuresOf(name: string, about: string, mappedRoots: boolean): RuntimeFeatures {
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(about) ?? []).slice(1).map(Number);
  const atLeast = (a: number, b: number) => major > a || (major === a && minor >= b);
  const known = name === 'crun' ? atLeast(1, 4) : name === 'runc' && atLeast(1, 1);
  return {
    // A VM's mounts are made read-only one by one, on the host.
    recursiveReadOnly: (known && kernelAtLeast(5, 12)) || vmRuntime.test(about),
    // The root is the image store's to map: overlayfs cannot be mapped afterwards.
    userNamespaces: known && mappedRoots,
    idMappedMounts:
      kernelAtLeast(5, 12) && (name === 'crun' ? atLeast(1, 5) : name === 'runc' && atLeast(1, 2)),
    // crun can be built without: Debian's is.
    checkpoint: name === 'runc' || /\+CRIU\b/.test(about),
    compiledSeccomp: name === 'crun' && atLeast(1, 5),
    // runc takes the option only with --detach, which leaves nobody to tell the exit code.
    execConsoleSocket: name === 'crun',
  };
}

function kernelAtLeast(major: number, minor: number): boolean {
  const [a = 0, b = 0] = readFileSync('/proc/sys/kernel/osrelease', 'utf8').split('.').map(Number);
  return a > major || (a === major && b >= minor);
}

function remedyFor(name: string, reason: string): string {
  if (hybridRefusal.test(reason))
    return 'boot with version 2 cgroups only (systemd.unified_cgroup_hierarchy=1), or use runc';
  if (/conmon/.test(reason)) return 'apt-get install conmon';
  if (/skiff setup vm/.test(reason)) return 'skiff setup vm';
  return `run "${name} --debug run" by hand to see why, or use another runtime`;
}

/** The path of a program on PATH; undefined if there is none. */
function findProgram(name: string): string | undefined {
  const directories = name.includes('/')
    ? ['']
    : (process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin').split(':');
  return directories.map((directory) => (directory === '' ? name : join(directory, name))).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
