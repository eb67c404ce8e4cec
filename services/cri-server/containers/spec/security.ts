/** Capabilities, AppArmor and SELinux of a container's process. */
import { readFileSync } from 'node:fs';
import {
  type LinuxContainerSecurityContext,
  SecurityProfile_ProfileType,
} from '#contracts/cri/runtime_pb.ts';
import type { ProcessSpec } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { capabilitySets } from './capabilities.ts';
import type { SpecInput } from './input.ts';

/** The profile that AppArmor hosts use for containers that ask for the default. */
const defaultAppArmorProfile = 'skiff-default';

/** The security part of a process document. */
export function securityOf({
  config,
  sandbox,
  host,
  labels,
}: Pick<SpecInput, 'config' | 'sandbox' | 'host' | 'labels'>): Pick<
  ProcessSpec,
  'capabilities' | 'apparmorProfile' | 'selinuxLabel'
> {
  const context = config.linux?.securityContext;
  const privileged = context?.privileged === true;
  if (privileged && sandbox.config.linux?.securityContext?.privileged !== true)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      'a privileged container needs a sandbox that is privileged as well',
    );
  const apparmorProfile = privileged ? undefined : appArmor(context, host.apparmor);
  return {
    capabilities: capabilitySets(context, host.capabilities),
    ...(apparmorProfile === undefined ? {} : { apparmorProfile }),
    ...(labels === undefined || labels.process === '' ? {} : { selinuxLabel: labels.process }),
  };
}

function appArmor(
  context: LinuxContainerSecurityContext | undefined,
  supported: boolean,
): string | undefined {
  const wanted = wantedAppArmor(context);
  if (!supported) {
    if (wanted === 'unset' || wanted === 'unconfined') return undefined;
    throw new SkiffError(
      'FAILED_PRECONDITION',
      'an AppArmor profile was asked for, but this machine has no AppArmor; use Unconfined or leave it out',
    );
  }
  if (wanted === 'unconfined') return 'unconfined';
  const name = wanted === 'unset' || wanted === 'default' ? defaultAppArmorProfile : wanted.profile;
  if (loadedProfiles().has(name)) return name;
  // Nobody asked for the default by name: without it the container is as free as on a host without AppArmor.
  if (wanted === 'unset') return undefined;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `the AppArmor profile "${name}" is not loaded; load it with: apparmor_parser -r FILE`,
  );
}

type WantedAppArmor = 'unset' | 'default' | 'unconfined' | { profile: string };

function wantedAppArmor(context: LinuxContainerSecurityContext | undefined): WantedAppArmor {
  const given = context?.apparmor;
  if (given !== undefined) {
    if (given.profileType === SecurityProfile_ProfileType.Unconfined) return 'unconfined';
    if (given.profileType === SecurityProfile_ProfileType.RuntimeDefault) return 'default';
    return { profile: given.localhostRef.replace(/^localhost\//, '') };
  }
  const old = context?.apparmorProfile ?? '';
  if (old === '') return 'unset';
  if (old === 'runtime/default') return 'default';
  if (old === 'unconfined') return 'unconfined';
  return { profile: old.replace(/^localhost\//, '') };
}

function loadedProfiles(): Set<string> {
  try {
    const text = readFileSync('/sys/kernel/security/apparmor/profiles', 'utf8');
    return new Set(text.split('\n').map((line) => line.replace(/ \(\w+\)$/, '')));
  } catch {
    return new Set();
  }
}
