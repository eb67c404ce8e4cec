/**
 * System call filters: our default profile, profiles from files, and none. A profile's file has the format that
 * container engines share: `defaultAction`, `archMap` or `architectures`, and `syscalls` with conditions on
 * capabilities (`includes`, `excludes`).
 */
import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import {
  type LinuxContainerSecurityContext,
  type SecurityProfile,
  SecurityProfile_ProfileType,
} from '#contracts/cri/runtime_pb.ts';
import type { SeccompRule, SeccompSpec } from '#contracts/oci/runtime.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { allowedCalls, callsByCapability, refusedCalls } from './seccomp-calls.ts';

/** errno(3) numbers, the same on all architectures. */
const EPERM = 1;
const ENOSYS = 38;
/** socket(7) families that reach the host: AF_ALG has had many holes, AF_VSOCK leads to the hypervisor. */
const AF_ALG = 38;
const AF_VSOCK = 40;
/** CLONE_NEW* without CLONE_NEWCGROUP's neighbours: namespaces(7). */
const namespaceFlags = 0x7e020000;
/** personality(2) values in use: PER_LINUX, PER_LINUX32, UNAME26 of both, and the question. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

/**
 * The machine's own architecture and its 32-bit brother. Not x32, which Debian's kernels do not run: a call of an
 * architecture that is not named kills the process, and naming it costs 20 ms of filter compiling at each start.
 */
const nativeArchitectures: Readonly<Record<string, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

/** The default profile for a container with these capabilities. */
function defaultSeccomp(capabilities: ReadonlySet<string>): SeccompSpec {
  const byCapability = Object.entries(callsByCapability);
  const granted = new Set(
    byCapability.filter(([name]) => capabilities.has(name)).flatMap(([, calls]) => calls),
  );
  const withheld = new Set(byCapability.flatMap(([, calls]) => calls).filter((call) => !granted.has(call)));
  const refused = [...refusedCalls, ...withheld].filter((call) => call !== 'clone' && call !== 'clone3');
  return {
    // ENOSYS for calls that are younger than this list: the C library then falls back to older ones.
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    architectures: [...(nativeArchitectures[process.arch] ?? [])],
    syscalls: [
      { names: [...allowedCalls, ...granted], action: 'SCMP_ACT_ALLOW' },
      ...argumentRules(granted.has('clone')),
      { names: refused, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
    ],
  };
}

function argumentRules(mayMakeNamespaces: boolean): SeccompRule[] {
  const rules: SeccompRule[] = personalities.map((value) => ({
    names: ['personality'],
    action: 'SCMP_ACT_ALLOW',
    args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }],
  }));
  const socket = (op: string, value: number): SeccompRule => ({
    names: ['socket'],
    action: 'SCMP_ACT_ALLOW',
    args: [{ index: 0, value, op }],
  });
  rules.push(socket('SCMP_CMP_LT', AF_ALG), socket('SCMP_CMP_EQ', 39), socket('SCMP_CMP_GT', AF_VSOCK));
  if (!mayMakeNamespaces) {
    // clone3's flags lie in memory that a filter cannot read; ENOSYS, the default, makes libc use clone.
    const args = [{ index: 0, value: namespaceFlags, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }];
    rules.push({ names: ['clone'], action: 'SCMP_ACT_ALLOW', args });
  }
  return rules;
}

/**
 * The filter of a container; undefined for none.
 *
 * @param capabilities what the container has.
 * @throws SkiffError FAILED_PRECONDITION if the profile cannot be read or is none, or this kernel has no seccomp.
 */
export function seccompFor(
  context: LinuxContainerSecurityContext | undefined,
  capabilities: ReadonlySet<string>,
  supported: boolean,
): SeccompSpec | undefined {
  if (context?.privileged === true) return undefined;
  const profile = context?.seccomp ?? profileFromPath(context?.seccompProfilePath ?? '');
  if (profile === undefined || profile.profileType === SecurityProfile_ProfileType.Unconfined)
    return undefined;
  if (!supported)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      'a seccomp profile was asked for, but this kernel has no seccomp',
    );
  if (profile.profileType === SecurityProfile_ProfileType.RuntimeDefault) return defaultSeccomp(capabilities);
  return loadProfile(profile.localhostRef, capabilities);
}

/** The field that `seccomp` replaced: `runtime/default`, `unconfined`, `localhost/PATH`. */
function profileFromPath(path: string): Pick<SecurityProfile, 'profileType' | 'localhostRef'> | undefined {
  const { RuntimeDefault, Localhost } = SecurityProfile_ProfileType;
  if (path === '' || path === 'unconfined') return undefined;
  if (path === 'runtime/default' || path === 'docker/default')
    return { profileType: RuntimeDefault, localhostRef: '' };
  return { profileType: Localhost, localhostRef: path.replace(/^localhost\//, '') };
}

interface ProfileFile extends SeccompSpec {
  archMap?: { architecture: string; subArchitectures?: string[] | null }[];
  syscalls?: (SeccompRule & { name?: string; includes?: Condition; excludes?: Condition })[];
}

interface Condition {
  caps?: string[];
  arches?: string[];
}

function loadProfile(path: string, capabilities: ReadonlySet<string>): SeccompSpec {
  if (!isAbsolute(path))
    throw new SkiffError('INVALID_ARGUMENT', `the seccomp profile "${path}" is no absolute path`);
  let file: ProfileFile;
  try {
    file = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof file.defaultAction !== 'string') throw new Error('it has no defaultAction');
  } catch (error) {
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Cannot load the seccomp profile "${path}": ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
  const { archMap, syscalls, ...rest } = file;
  const native = nativeArchitectures[process.arch]?.[0];
  const mapped = archMap?.find((entry) => entry.architecture === native);
  return {
    ...rest,
    ...(mapped === undefined
      ? {}
      : { architectures: [mapped.architecture, ...(mapped.subArchitectures ?? [])] }),
    syscalls: (syscalls ?? [])
      .filter(
        (rule) => applies(rule.includes, capabilities, true) && applies(rule.excludes, capabilities, false),
      )
      .map(({ includes: _includes, excludes: _excludes, name, names, ...rule }) => ({
        ...rule,
        names: names ?? (name === undefined ? [] : [name]),
      })),
  };
}

const goArchitecture: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Whether a rule with this condition counts: all of `includes` must hold, none of `excludes` may. */
function applies(
  condition: Condition | undefined,
  capabilities: ReadonlySet<string>,
  wanted: boolean,
): boolean {
  const { caps = [], arches = [] } = condition ?? {};
  const own = goArchitecture[process.arch] ?? process.arch;
  if (!wanted) return !caps.some((name) => capabilities.has(name)) && !arches.includes(own);
  return caps.every((name) => capabilities.has(name)) && (arches.length === 0 || arches.includes(own));
}
