/**
 * Starts QEMU's process. It gets descriptors for all that it may use and opens nothing by path but its own firmware;
 * it runs as a user of its own who owns nothing, in an empty network namespace, in the pod's cgroup.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, statSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import { type UndoStack, undoStack } from '#foundation/base/undo.ts';
import { confinedCommand } from '#foundation/linux/confined.ts';
import { inNewNamespaces } from '#foundation/linux/namespaces.ts';
import { identify, type ProcessIdentity } from '#foundation/linux/process.ts';
import { type ExitStatus, openPipe, type Spawner } from '#foundation/linux/spawn.ts';
import { lastWords } from '#foundation/linux/spawn-command.ts';
import { listenUnix } from '#foundation/linux/unix-fds.ts';
import type { VmNic, VmShare } from '../types.ts';
import { type Machine, type MachineFds, machineArguments } from './arguments.ts';
import { vmFiles } from './record.ts';

/** Bytes of what QEMU said that are kept. */
const saidBytes = 4096;
/** The process has its memory under this number: root finds it at /proc/PID/fd/3. */
export const memoryFdOfProcess = 3;

/** What starting needs. */
export interface LaunchDeps {
  spawner: Spawner;
  /** QEMU's program. */
  program: string;
  /** Whether it runs as root: only for tests of machines where nothing else can be. */
  privileged?: boolean;
}

/** What to start it with. */
export interface Launch {
  machine: Omit<Machine, 'nics' | 'shares'>;
  /** The guest's memory. It stays the caller's, as do the others. */
  memoryFd: number;
  nics: readonly VmNic[];
  shares: readonly VmShare[];
  cgroup: string | undefined;
}

/** A started process. */
export interface Launched {
  identity: ProcessIdentity;
  exited: Promise<ExitStatus>;
  /** The end of what it wrote to its standard error. */
  said(): string;
  /** SIGKILL. */
  kill(): void;
}

/** Starts it. @throws SkiffError FAILED_PRECONDITION if there is no QEMU, or if it ended at once. */
export async function launch(deps: LaunchDeps, request: Launch): Promise<Launched> {
  // Whatever happens, our own copies are closed: the process has its own by then.
  await using ours = undoStack();
  const fds = collectFds(request, ours);
  const { machine, nics, shares } = request;
  const args = machineArguments({ ...machine, nics, shares }, fds.numbers);
  const output = openPipe();
  ours.defer('close the output', () => closeSync(output.write));
  const heard = lastWords(output.read, saidBytes);
  const [file, ...rest] = [...wrapper(deps, request), deps.program, ...args];
  try {
    const child = inNewNamespaces(['net', 'ipc'], () =>
      deps.spawner.spawn({
        file: file ?? '',
        args: rest,
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
        cwd: '/',
        newSession: true,
        fds: { ...fds.table, 1: output.write, 2: output.write },
      }),
    );
    const identity = identify(child.pid);
    if (identity === undefined) throw new SkiffError('FAILED_PRECONDITION', 'QEMU ended at once');
    return { identity, exited: child.exited, said: heard, kill: () => child.kill(9) };
  } catch (error) {
    if (error instanceof SkiffError && error.code === 'NOT_FOUND')
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `Cannot start ${deps.program}: it is not installed. Run "skiff setup vm"`,
        { cause: error },
      );
    throw error;
  }
}

/** Opens sockets and files, and numbers everything as the process will have it. */
function collectFds(
  request: Launch,
  ours: UndoStack,
): { numbers: MachineFds; table: Record<number, number> } {
  const { machine } = request;
  const files = vmFiles(machine.directory);
  const table: Record<number, number> = {};
  let next = memoryFdOfProcess;
  const pass = (fd: number) => {
    table[next] = fd;
    return next++;
  };
  const own = (fd: number) => {
    ours.defer('close a descriptor', () => closeSync(fd));
    return pass(fd);
  };
  const memory = pass(request.memoryFd);
  const numbers: MachineFds = {
    memory,
    qmp: own(listenUnix(files.qmp)),
    agent: own(listenUnix(files.agent)),
    console: own(listenUnix(files.consoleSocket)),
    taps: request.nics.map(({ tapFd }) => pass(tapFd)),
    shares: request.shares.map(({ fd }) => pass(fd)),
  };
  if (machine.boot !== undefined) {
    const { vmlinuxPath, emulatedVmlinuxPath } = machine.boot.image;
    const kernel = machine.acceleration === 'tcg' ? emulatedVmlinuxPath : vmlinuxPath;
    numbers.kernel = own(openSync(kernel, 'r'));
    numbers.initrd = own(openSync(machine.boot.image.initrdPath, 'r'));
  }
  return { numbers, table };
}

/** Joins the cgroup, forbids core files (they would hold the guest's memory), and gives up root. */
function wrapper({ privileged }: LaunchDeps, { cgroup, machine }: Launch): string[] {
  const shell = confinedCommand(cgroup);
  if (privileged === true) return shell;
  const user = String(userOf(machine.directory));
  // The device of KVM is its group's, as Debian sets it up.
  const groupsOption = machine.acceleration === 'kvm' ? [`--groups=${kvmGroup()}`] : ['--clear-groups'];
  const drop = ['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
  return [...shell, '/usr/bin/setpriv', `--reuid=${user}`, `--regid=${user}`, ...groupsOption, ...drop];
}

function kvmGroup(): number {
  return statSync('/dev/kvm', { throwIfNoEntry: false })?.gid ?? 65534;
}

/** A user id that nobody else has: far above those of people, services and user namespaces, one for each VM. */
export function userOf(directory: string): number {
  const hash = createHash('sha256').update(directory).digest();
  return 2_000_000_000 + (hash.readUInt32BE(0) % 100_000_000);
}
