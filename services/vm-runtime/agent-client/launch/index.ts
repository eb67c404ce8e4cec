/**
 * Programs that start containers: what an OCI configuration means, worked out here, so that the guest has only to do it
 * (guest/launch). It saves the guest a runtime that reads JSON and compiles filters, which under emulation is most of a
 * container's start. What is not known here to mean the same, crun starts.
 */
import type { LinuxSpec, ProcessSpec, RuntimeSpec, SpecResources } from '#contracts/oci/runtime.ts';
import { type FilterSource, filterCompiler } from '#foundation/linux/seccomp.ts';
import { isEmpty } from './known.ts';
import { deviceProgram, groupLimits } from './limits.ts';
import { deviceSteps, mountStep, propagationStep } from './mounts.ts';
import { capabilitySteps, processSteps } from './process.ts';
import { NotForLaunch, programOf, type Step } from './steps.ts';

/** CLONE_NEW* of sched.h. */
const cloneFlags: Readonly<Record<string, number>> = {
  mount: 0x20000,
  uts: 0x4000000,
  ipc: 0x8000000,
  pid: 0x20000000,
  network: 0x40000000,
};
const CLONE_NEWCGROUP = 0x2000000;
/** What processes of the container do as its first one did, by the number that it is loaded under. */
const kept = { filter: 0, bound: 1, capabilities: 2 } as const;
/** SECCOMP_FILTER_FLAG_* of linux/seccomp.h. */
const filterFlags: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
};

/** Makes programs. */
export interface Launcher {
  /** The program of a container; undefined for one that crun is to start. @param group its cgroup in the guest. */
  container(spec: RuntimeSpec, group: string): Buffer | undefined;
  /** The program of a process in a container that a program started. @throws NotForLaunch */
  process(process: ProcessSpec, group: string): Buffer;
  /** Limits as the agent takes them for such a container: FILE=VALUE. */
  limits(resources: SpecResources): string[];
}

/** Makes the launcher. @param open opens libseccomp; without it crun starts what has a filter. */
export function launcher(open: typeof filterCompiler = filterCompiler): Launcher {
  const filters = filterCache(open);
  return {
    container: (spec, group) => {
      try {
        return containerProgram(spec, group, filters);
      } catch {
        return undefined; // crun starts it, or says what is wrong with it.
      }
    },
    process: processProgram,
    limits: (resources) =>
      groupLimits(resources).map(({ file, value, optional }) => `${optional ? '?' : ''}${file}=${value}`),
  };
}

/** A process makes few filters, and mostly the same again. */
function filterCache(open: typeof filterCompiler): (source: FilterSource) => Buffer {
  const made = new Map<string, Buffer>();
  const limit = 8;
  let compiler: ReturnType<typeof filterCompiler>;
  return (source) => {
    compiler ??= open();
    if (compiler === undefined) throw new NotForLaunch('a filter without libseccomp');
    const key = JSON.stringify(source);
    const filter = made.get(key) ?? compiler(source);
    if (made.size < limit) made.set(key, filter);
    return filter;
  };
}

function containerProgram(
  spec: RuntimeSpec,
  group: string,
  filters: (source: FilterSource) => Buffer,
): Buffer {
  refuse(spec);
  const { process, root, mounts, linux } = spec;
  const { before, terminal, inside, user, after } = processSteps(process, true);
  const { bound, capabilities } = capabilitySteps(process.capabilities ?? {});
  const filter = filterStep(linux.seccomp, filters);
  const early = process.noNewPrivileges === true ? [] : filter;
  const late = process.noNewPrivileges === true ? filter : [];
  return programOf([
    ...groupSteps(group, linux.resources ?? {}),
    ...(filter[0] === undefined ? [] : [keep('filter', filter[0])]),
    keep('bound', bound),
    keep('capabilities', capabilities),
    ...namespaceSteps(linux.namespaces),
    ...before,
    ...(linux.namespaces.some(({ type }) => type === 'cgroup')
      ? [['unshare', CLONE_NEWCGROUP] as const]
      : []),
    propagationStep(linux.rootfsPropagation),
    ['root', root.path],
    ...mounts.map(mountStep),
    ...deviceSteps(linux.devices ?? []),
    ...(linux.maskedPaths ?? []).map((path): Step => ['mask', path]),
    ...(linux.readonlyPaths ?? []).map((path): Step => ['protect', path]),
    ...terminal,
    ['make', process.cwd],
    ['pivot'],
    ...(root.readonly === true ? [['seal'] as const] : []),
    ...inside,
    ...early,
    ...[bound, user, capabilities],
    ...after,
    ['wait'],
    ...late,
    ['run'],
  ]);
}

function processProgram(process: ProcessSpec, group: string): Buffer {
  const { before, terminal, inside, user, after } = processSteps(process, false);
  const include = (name: keyof typeof kept): Step => ['include', kept[name]];
  const own = process.capabilities === undefined ? undefined : capabilitySteps(process.capabilities);
  const early = process.noNewPrivileges === true ? [] : [include('filter')];
  const late = process.noNewPrivileges === true ? [include('filter')] : [];
  return programOf([
    ['group', group],
    ...Object.entries(kept).map(([name, number]): Step => ['load', number, name]),
    ['clone', 0],
    ...before,
    ['enter'],
    ...terminal,
    ...inside,
    ...early,
    own?.bound ?? include('bound'),
    user,
    own?.capabilities ?? include('capabilities'),
    ...after,
    ...late,
    ['run'],
  ]);
}

/** @throws NotForLaunch for parts of a configuration that have no steps. */
function refuse(spec: RuntimeSpec): void {
  const { ociVersion: _, process, root, mounts: __, annotations = {}, linux, ...others } = spec;
  const { namespaces, resources, cgroupsPath, maskedPaths, readonlyPaths, ...rest } = linux;
  const { devices, seccomp, rootfsPropagation, personality, ...unknown } = rest as typeof rest & {
    personality?: { domain?: string; flags?: string[] };
  };
  const foreign = Object.keys(annotations).some((name) => name.startsWith('run.oci.'));
  const personal =
    personality !== undefined && (personality.domain !== 'LINUX' || !isEmpty(personality.flags));
  const { path, readonly, ...unknownOfRoot } = root;
  if (!isEmpty(others) || !isEmpty(unknown) || !isEmpty(unknownOfRoot) || foreign || personal)
    throw new NotForLaunch(`the parts ${[...Object.keys(others), ...Object.keys(unknown)]}`);
  if (!path.startsWith('/') || process.args.length === 0) throw new NotForLaunch('a root or arguments');
}

function groupSteps(group: string, resources: SpecResources): Step[] {
  const { devices = [] } = resources;
  return [
    ['group', group],
    ...groupLimits(resources).map(
      ({ file, value, optional = false }): Step => ['limit', file, value, optional],
    ),
    ...(devices.length === 0 ? [] : [['devices', deviceProgram(devices)] as const]),
  ];
}

function namespaceSteps(namespaces: LinuxSpec['namespaces']): Step[] {
  const steps: Step[] = [];
  let flags = 0;
  for (const { type, path = '' } of namespaces) {
    if (type === 'cgroup' && path === '') continue;
    const flag = cloneFlags[type];
    if (flag === undefined || (path !== '' && type !== 'pid')) throw new NotForLaunch(`a ${type} namespace`);
    if (path === '') flags |= flag;
    else steps.push(['join', path]);
  }
  if ((flags & (cloneFlags.mount ?? 0)) === 0) throw new NotForLaunch('no mount namespace');
  return [...steps, ['clone', flags]];
}

function filterStep(seccomp: LinuxSpec['seccomp'], filters: (source: FilterSource) => Buffer): [] | [Step] {
  if (seccomp === undefined || isEmpty(seccomp)) return [];
  const { defaultAction, defaultErrnoRet, architectures, syscalls, flags = [], ...others } = seccomp;
  if (!isEmpty(others)) throw new NotForLaunch('a listener of system calls');
  // Without any, the processor's own protection of a filtered process would slow it down.
  const wanted = flags.length === 0 ? ['SECCOMP_FILTER_FLAG_SPEC_ALLOW'] : flags;
  const mask = wanted.reduce((all, name) => {
    if (filterFlags[name] === undefined) throw new NotForLaunch(`the flag ${name}`);
    return all | filterFlags[name];
  }, 0);
  const source = {
    defaultAction,
    ...(defaultErrnoRet === undefined ? {} : { defaultErrnoRet }),
    ...(architectures === undefined ? {} : { architectures }),
    ...(syscalls === undefined ? {} : { syscalls }),
  };
  return [['filter', mask, filters(source)]];
}

function keep(name: keyof typeof kept, step: Step): Step {
  return ['keep', name, programOf([step])];
}
