/**
 * Devices of vendors, by name (`vendor.com/class=device`): the Container Device Interface,
 * https://github.com/cncf-tags/container-device-interface (SPEC.md). A spec file names devices; each adds nodes,
 * mounts, environment and hooks to a container.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { ContainerConfig } from '#contracts/cri/runtime_pb.ts';
import type { Hooks, RuntimeSpec, SpecDevice } from '#contracts/oci/runtime.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';

/** Where CDI specs lie; the later directory is the stronger. */
export const defaultCdiDirectories: readonly string[] = ['/etc/cdi', '/var/run/cdi'];

interface CdiSpec {
  cdiVersion: string;
  kind: string;
  devices?: { name: string; containerEdits?: CdiEdits }[];
  containerEdits?: CdiEdits;
}

interface CdiEdits {
  env?: string[];
  deviceNodes?: {
    path: string;
    hostPath?: string;
    type?: string;
    major?: number;
    minor?: number;
    fileMode?: number;
    permissions?: string;
    uid?: number;
    gid?: number;
  }[];
  mounts?: { hostPath: string; containerPath: string; type?: string; options?: string[] }[];
  hooks?: { hookName: string; path: string; args?: string[]; env?: string[]; timeout?: number }[];
  additionalGids?: number[];
}

/**
 * Adds the CDI devices of a request to a spec.
 *
 * @throws SkiffError INVALID_ARGUMENT if a name is no CDI name; NOT_FOUND if no spec has the device.
 */
export function applyCdi(
  spec: RuntimeSpec,
  config: ContainerConfig,
  directories: readonly string[],
): RuntimeSpec {
  const names = requestedDevices(config);
  if (names.length === 0) return spec;
  const specs = loadSpecs(directories);
  const general = new Set<CdiSpec>();
  let result = spec;
  for (const name of names) {
    const [kind = '', device = ''] = name.split('=');
    const file = specs.findLast(
      (one) => one.kind === kind && one.devices?.some((entry) => entry.name === device),
    );
    const entry = file?.devices?.find((one) => one.name === device);
    if (file === undefined || entry === undefined)
      throw new SkiffError(
        'NOT_FOUND',
        `the CDI device "${name}" is in no spec in ${directories.join(' or ')}`,
      );
    if (!general.has(file)) result = applyEdits(result, file.containerEdits ?? {});
    general.add(file);
    result = applyEdits(result, entry.containerEdits ?? {});
  }
  return result;
}

/** From the field, or from annotations `cdi.k8s.io/...` of older device plugins: a list with commas. */
function requestedDevices(config: ContainerConfig): string[] {
  const annotated = Object.entries(config.annotations)
    .filter(([key]) => key.startsWith('cdi.k8s.io/'))
    .flatMap(([, value]) => value.split(','));
  const names = config.CDIDevices.length > 0 ? config.CDIDevices.map(({ name }) => name) : annotated;
  for (const name of names)
    if (!/^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*=[A-Za-z0-9][\w.:-]*$/.test(name))
      throw new SkiffError('INVALID_ARGUMENT', `"${name}" is no CDI device: use vendor.com/class=device`);
  return [...new Set(names)];
}

function loadSpecs(directories: readonly string[]): CdiSpec[] {
  return directories.flatMap((directory) =>
    filesOf(directory).map((path) => {
      try {
        const spec = parse(readFileSync(path, 'utf8')) as CdiSpec;
        if (typeof spec?.kind !== 'string') throw new Error('it has no kind');
        return spec;
      } catch (error) {
        throw new SkiffError(
          'FAILED_PRECONDITION',
          `Cannot read the CDI spec "${path}": ${messageOf(error)}`,
        );
      }
    }),
  );
}

function filesOf(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => /\.(json|ya?ml)$/.test(name));
    return names.sort().map((name) => join(directory, name));
  } catch {
    return [];
  }
}

function applyEdits(spec: RuntimeSpec, edits: CdiEdits): RuntimeSpec {
  const nodes = (edits.deviceNodes ?? []).map(nodeOf);
  const resources = spec.linux.resources ?? {};
  const user = spec.process.user;
  return {
    ...spec,
    process: {
      ...spec.process,
      env: [...(spec.process.env ?? []), ...(edits.env ?? [])],
      user: {
        ...user,
        additionalGids: [...new Set([...(user.additionalGids ?? []), ...(edits.additionalGids ?? [])])],
      },
    },
    mounts: [
      ...spec.mounts,
      ...(edits.mounts ?? []).map(({ hostPath, containerPath, type, options }) => ({
        destination: containerPath,
        source: hostPath,
        type: type ?? 'bind',
        options: options ?? ['rbind', 'ro', 'nosuid', 'nodev'],
      })),
    ],
    hooks: withHooks(spec.hooks, edits),
    linux: {
      ...spec.linux,
      devices: [...(spec.linux.devices ?? []), ...nodes.map(({ node }) => node)],
      resources: {
        ...resources,
        devices: [
          ...(resources.devices ?? []),
          ...nodes.map(({ node, access }) => ({
            allow: true,
            type: node.type === 'b' ? ('b' as const) : ('c' as const),
            major: node.major,
            minor: node.minor,
            access,
          })),
        ],
      },
    },
  };
}

function nodeOf(edit: NonNullable<CdiEdits['deviceNodes']>[number]): { node: SpecDevice; access: string } {
  const host = edit.hostPath ?? edit.path;
  const stats = statSync(host, { throwIfNoEntry: false });
  if (edit.major === undefined && stats === undefined)
    throw new SkiffError('NOT_FOUND', `the CDI device node "${host}" is not on this machine`);
  const device = BigInt(stats?.rdev ?? 0);
  const type = edit.type ?? (stats?.isBlockDevice() === true ? 'b' : 'c');
  return {
    access: edit.permissions ?? 'rwm',
    node: {
      type: type === 'b' ? 'b' : type === 'p' ? 'p' : 'c',
      path: edit.path,
      major: edit.major ?? Number((device >> 8n) & 0xfffn),
      minor: edit.minor ?? Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
      fileMode: edit.fileMode ?? (stats === undefined ? 0o660 : stats.mode & 0o7777),
      uid: edit.uid ?? stats?.uid ?? 0,
      gid: edit.gid ?? stats?.gid ?? 0,
    },
  };
}

const hookNames: readonly (keyof Hooks)[] = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
];

function withHooks(hooks: Hooks | undefined, edits: CdiEdits): Hooks | undefined {
  if (edits.hooks === undefined || edits.hooks.length === 0) return hooks;
  const result: Hooks = { ...hooks };
  for (const { hookName, ...hook } of edits.hooks) {
    const name = hookNames.find((one) => one === hookName);
    if (name === undefined)
      throw new SkiffError('FAILED_PRECONDITION', `a CDI spec has an unknown hook "${hookName}"`);
    result[name] = [...(result[name] ?? []), hook];
  }
  return result;
}
