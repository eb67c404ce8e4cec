/**
 * The pause process: PID 1 of a PID namespace that all containers of a pod share. It reaps what nobody waits
 * for. Pods whose containers have PID namespaces of their own need none.
 *
 * It is a container of its own, run by the pod's OCI runtime: the other containers can see it in /proc and, with
 * CAP_SYS_PTRACE, its root directory, so it must not be in the host's mount namespace.
 */
import { copyFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ociVersion, type RuntimeSpec } from '#contracts/oci/runtime.ts';
import type { RuntimeDriver } from '#contracts/oci/runtime-driver.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { pinNamespace } from '#foundation/linux/namespaces.ts';
import { identify, isRunning, signalProcess } from '#foundation/linux/process.ts';
import type { Selinux } from '../selinux/policy.ts';
import type { PauseProcess } from './deps.ts';
import type { Sandbox } from './lifecycle.ts';
import type { SandboxPaths } from './paths.ts';
import { namespacePlan } from './validate.ts';

/** Starts and ends pause processes. */
export interface PauseDriver {
  start(sandbox: Sandbox, paths: SandboxPaths, signal: AbortSignal): Promise<PauseProcess>;
  /** Ends it and all that lives in its PID namespace; none is success. */
  stop(sandbox: Sandbox): Promise<void>;
  /** Whether that very process still runs. */
  alive(pause: { pid: number; startTime: number }): boolean;
}

/** What pause processes need. */
export interface PauseDeps {
  /** The run directory: the shared root file system is made below it. */
  run: string;
  /** A statically linked program that waits and reaps when started with `-P`: Debian's catatonit. */
  program: string;
  /** The runtime of a handler. */
  runtime(handler: string): Pick<RuntimeDriver, 'create' | 'start' | 'delete'>;
  /** Left out on machines without. */
  selinux?: Pick<Selinux, 'labels'>;
  /** The cgroup of a container: `cgroupsPath` of config.json. */
  cgroupPath(parent: string, id: string): string;
  /** Removes what the runtime and its monitor leave outside the bundle: files, the cgroup. */
  forget(parent: string, id: string): void;
  /** Keeps the cgroup of containers without a parent while one is created. */
  holdCgroup(): Disposable;
}

/** The user of the pause process, where the pod's user namespace has it. */
const nobody = 65_534;

/** Makes the driver. */
export function createPauseDriver(deps: PauseDeps): PauseDriver {
  return {
    async start(sandbox, paths, signal) {
      const id = pauseId(sandbox);
      using _parent = deps.holdCgroup();
      const runtime = deps.runtime(sandbox.handler);
      const root = makeRoot(deps);
      const spec = pauseSpec(deps, sandbox, root);
      const bundle = join(paths.directory, 'pause');
      mkdirSync(bundle, { recursive: true, mode: 0o700 });
      writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec), { mode: 0o600 });
      const { pid } = await runtime.create({ id, bundle, spec, stdin: false, stdinStaysOpen: false }, signal);
      const identity = identify(pid);
      if (identity === undefined) throw new SkiffError('INTERNAL', 'The pause process ended at once');
      const namespace = join(paths.namespaces, 'pid');
      pinNamespace(`/proc/${pid}/ns/pid`, namespace);
      await runtime.start(id, spec);
      return { ...identity, namespace };
    },
    async stop(sandbox) {
      const id = pauseId(sandbox);
      if (!namespacePlan(sandbox.config).sharedPid) return;
      await killPause(sandbox.resources.pause);
      await deps.runtime(sandbox.handler).delete(id, { force: true });
      deps.forget(sandbox.config.linux?.cgroupParent ?? '', id);
    },
    alive: isRunning,
  };
}

/** A runtime looks only every 100 ms whether what it killed has ended; this sees it at once. */
async function killPause(pause: { pid: number; startTime: number } | undefined): Promise<void> {
  if (pause === undefined || !signalProcess(pause, constants.signals.SIGKILL)) return;
  for (const end = performance.now() + 5000; performance.now() < end && isRunning(pause); ) await sleep(1);
}

/** The pause container's id; no container of a pod has such a one. */
function pauseId({ id }: Sandbox): string {
  return `${id}-pause`;
}

/** A root file system with nothing but the program, the same for all pods. */
function makeRoot({ run, program }: PauseDeps): string {
  const root = join(run, 'pause-root');
  const target = join(root, 'pause');
  if (existsSync(target)) return root;
  if (!existsSync(program))
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Pods with a shared PID namespace need ${program}; install it (Debian: catatonit)`,
    );
  for (const directory of ['proc', 'dev', 'sys'])
    mkdirSync(join(root, directory), { recursive: true, mode: 0o755 });
  const temporary = `${target}.${process.pid}`;
  copyFileSync(program, temporary);
  renameSync(temporary, target);
  return root;
}

function pauseSpec(deps: PauseDeps, { id, config, resources }: Sandbox, root: string): RuntimeSpec {
  const { selinuxOptions, privileged } = config.linux?.securityContext ?? {};
  const level = resources.selinuxLevel;
  const label =
    level === undefined
      ? undefined
      : deps.selinux?.labels(selinuxOptions, level, privileged === true).process || undefined;
  const { network, ipc, uts, user } = resources.namespaces;
  const mapping = namespacePlan(config).user;
  const uid = mapping === undefined || mapping.uid.length > nobody ? nobody : 0;
  const gid = mapping === undefined || mapping.gid.length > nobody ? nobody : 0;
  const joined = Object.entries({ network, ipc, uts, user }).flatMap(([type, path]) =>
    path === undefined ? [] : [{ type: type as 'network' | 'ipc' | 'uts' | 'user', path }],
  );
  return {
    ociVersion,
    process: {
      user: { uid, gid },
      args: ['/pause', '-P'],
      env: ['PATH=/'],
      cwd: '/',
      noNewPrivileges: true,
      capabilities: {},
      ...(label === undefined ? {} : { selinuxLabel: label }),
    },
    root: { path: root, readonly: true },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      // The runtime makes the standard devices in it.
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
    ],
    linux: {
      namespaces: [{ type: 'mount' }, { type: 'pid' }, ...joined],
      ...(mapping === undefined ? {} : mappingsOf(mapping)),
      cgroupsPath: deps.cgroupPath(config.linux?.cgroupParent ?? '', `${id}-pause`),
      resources: { cpu: { shares: 2 } },
    },
  };
}

function mappingsOf({ uid, gid }: { uid: Mapping; gid: Mapping }) {
  const specMapping = ({ containerId, hostId, length }: Mapping) => [
    { containerID: containerId, hostID: hostId, size: length },
  ];
  return { uidMappings: specMapping(uid), gidMappings: specMapping(gid) };
}

interface Mapping {
  containerId: number;
  hostId: number;
  length: number;
}
