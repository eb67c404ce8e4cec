/**
 * `exec`: one more process in a running container. In the foreground this process becomes the shim that carries its
 * streams, so that a long command costs no Node.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ProcessSpec, RuntimeSpec } from '#contracts/oci/runtime.ts';
import { wrapError } from '#foundation/base/errors.ts';
import { startInheriting } from '#foundation/linux/daemon.ts';
import { shimProgram } from '../../shim/build.ts';
import { podPathsIn } from '../../supervisor/paths.ts';
import type { ContainerRecord } from '../../supervisor/records.ts';
import { flags, lists, type Options, parseArguments, usage, values } from '../arguments.ts';
import { writePid } from '../container.ts';
import { type Context, withSupervisor } from '../context.ts';
import { cleanEnvironment } from '../launch.ts';
import { shimArguments } from '../shim.ts';

const optionSpecs = [
  ...values(
    'console-socket',
    'cwd',
    'user,u',
    'process,p',
    'pid-file',
    'process-label',
    'apparmor',
    'preserve-fds',
  ),
  ...lists('env,e', 'additional-gids,g', 'cap,c', 'cgroup'),
  ...flags('tty,t', 'detach,d', 'no-new-privs', 'ignore-paused'),
];

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const { options, words } = parseArguments(args, optionSpecs, false);
  const [id, ...command] = words;
  if (id === undefined) throw usage('"container-id" is needed');
  if ((options.number('preserve-fds') ?? 0) > 0)
    throw usage('--preserve-fds: descriptors of the host cannot be passed into a VM');
  const execId = randomBytes(8).toString('hex');
  const started = await withSupervisor(context, id, async (client, record) => {
    const spec = processOf(record, options, command);
    await client.exec({ id, execId, process: JSON.stringify(spec) }, { timeoutMs: 120_000 });
    return { spec, pod: podPathsIn(record.pod) };
  });
  const consoleSocket = options.value('console-socket');
  const program = await shimProgram(context.cache);
  const shim = shimArguments(context, {
    pod: started.pod,
    container: id,
    exec: execId,
    terminal: started.spec.terminal === true,
    foreground: !options.flag('detach'),
    ...(consoleSocket === undefined || consoleSocket === '' ? {} : { consoleSocket: resolve(consoleSocket) }),
  });
  const pidFile = options.value('pid-file');
  if (options.flag('detach')) {
    writePid(pidFile, startInheriting(program, shim, { env: cleanEnvironment() }).pid);
    return;
  }
  writePid(pidFile, process.pid);
  become(program, shim);
}

/** execve(2): same process number, same streams. */
function become(program: string, args: readonly string[]): never {
  process.execve?.(program, [program, ...args], cleanEnvironment());
  throw usage('this Node cannot replace itself by another program');
}

function processOf(record: ContainerRecord, options: Options, command: readonly string[]): ProcessSpec {
  const file = options.value('process');
  if (file !== undefined) return readJson<ProcessSpec>(file);
  if (command.length === 0) throw usage('there is no command');
  const own = readJson<RuntimeSpec>(join(record.bundle, 'config.json')).process;
  const [uid, gid] = userOf(options.value('user'), own);
  return {
    ...own,
    args: [...command],
    terminal: options.flag('tty'),
    cwd: options.value('cwd') ?? own.cwd,
    env: [...(own.env ?? []), ...options.list('env')],
    user: {
      ...own.user,
      uid,
      gid,
      ...(options.list('additional-gids').length === 0
        ? {}
        : { additionalGids: options.list('additional-gids').map(Number) }),
    },
    ...(options.flag('no-new-privs') ? { noNewPrivileges: true } : {}),
    ...withCapabilities(own, options.list('cap')),
  };
}

function userOf(text: string | undefined, own: ProcessSpec): [number, number] {
  if (text === undefined) return [own.user.uid, own.user.gid];
  const match = /^(\d+)(?::(\d+))?$/.exec(text);
  if (match === null) throw usage(`--user ${text}: it must be UID or UID:GID`);
  return [Number(match[1]), match[2] === undefined ? own.user.gid : Number(match[2])];
}

/** Added to all sets but the ambient one, as runc does. */
function withCapabilities({ capabilities }: ProcessSpec, more: readonly string[]): Partial<ProcessSpec> {
  if (more.length === 0) return {};
  const add = (set: readonly string[] = []) => [...new Set([...set, ...more])];
  return {
    capabilities: {
      ...capabilities,
      bounding: add(capabilities?.bounding),
      effective: add(capabilities?.effective),
      permitted: add(capabilities?.permitted),
      inheritable: add(capabilities?.inheritable),
    },
  };
}

function readJson<T>(path: string): T {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch (error) {
    throw wrapError(error, `Cannot read ${path}`);
  }
}
