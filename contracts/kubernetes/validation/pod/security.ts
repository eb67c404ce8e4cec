/** Security contexts of pods and containers. */
import type {
  AppArmorProfile,
  Container,
  EphemeralContainer,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
} from '../../types.ts';
import { checkOneOf, type Problems } from '../problems.ts';
import { checkLocalPath } from './mounts.ts';

const maxId = 2 ** 31 - 1;
const sysctlPattern = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

/** Checks a container's security context. */
export function checkContainerSecurity(
  container: Container | EphemeralContainer,
  path: string,
  spec: PodSpec,
  problems: Problems,
): void {
  const context = container.securityContext;
  if (context === undefined) return;
  const place = `${path}.securityContext`;
  checkId(context.runAsUser, `${place}.runAsUser`, problems);
  checkId(context.runAsGroup, `${place}.runAsGroup`, problems);
  if (context.procMount !== undefined) {
    checkOneOf(problems, `${place}.procMount`, context.procMount, ['Default', 'Unmasked']);
    if (context.procMount === 'Unmasked' && spec.hostUsers !== false)
      problems.invalid(
        `${place}.procMount`,
        context.procMount,
        '`hostUsers` must be false to use `Unmasked`',
      );
  }
  checkSeccomp(context.seccompProfile, `${place}.seccompProfile`, problems);
  checkAppArmor(context.appArmorProfile, `${place}.appArmorProfile`, problems);
  if (context.allowPrivilegeEscalation !== false) return;
  if (context.privileged === true)
    problems.invalid(
      place,
      context,
      'cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
    );
  if (context.capabilities?.add?.includes('CAP_SYS_ADMIN'))
    problems.invalid(
      place,
      context,
      'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN',
    );
}

function checkId(id: number | undefined, path: string, problems: Problems): void {
  if (id !== undefined && (id < 0 || id > maxId))
    problems.invalid(path, id, `must be between 0 and ${maxId}, inclusive`);
}

function checkSeccomp(profile: SeccompProfile | undefined, path: string, problems: Problems): void {
  if (profile === undefined) return;
  checkOneOf(problems, `${path}.type`, profile.type, ['Localhost', 'RuntimeDefault', 'Unconfined']);
  if (profile.type === 'Localhost') {
    if (!profile.localhostProfile)
      problems.required(`${path}.localhostProfile`, 'must be set when seccomp type is Localhost');
    else checkLocalPath(profile.localhostProfile, `${path}.localhostProfile`, problems);
  } else if (profile.localhostProfile !== undefined) {
    problems.invalid(
      `${path}.localhostProfile`,
      profile.localhostProfile,
      'can only be set when seccomp type is Localhost',
    );
  }
}

function checkAppArmor(profile: AppArmorProfile | undefined, path: string, problems: Problems): void {
  if (profile === undefined) return;
  checkOneOf(problems, `${path}.type`, profile.type, ['Localhost', 'RuntimeDefault', 'Unconfined']);
  const name = profile.localhostProfile;
  if (profile.type === 'Localhost') {
    if (!name?.trim())
      problems.required(`${path}.localhostProfile`, 'must be set when AppArmor type is Localhost');
    else if (name.length > 4095) problems.tooLong(`${path}.localhostProfile`, 4095);
  } else if (name !== undefined) {
    problems.invalid(`${path}.localhostProfile`, name, 'can only be set when AppArmor type is Localhost');
  }
}

/** Checks the pod's security context. */
export function checkPodSecurity(context: PodSecurityContext, spec: PodSpec, problems: Problems): void {
  const path = 'spec.securityContext';
  checkId(context.runAsUser, `${path}.runAsUser`, problems);
  checkId(context.runAsGroup, `${path}.runAsGroup`, problems);
  checkId(context.fsGroup, `${path}.fsGroup`, problems);
  for (const [at, group] of (context.supplementalGroups ?? []).entries())
    checkId(group, `${path}.supplementalGroups[${at}]`, problems);
  if (context.fsGroupChangePolicy !== undefined)
    checkOneOf(problems, `${path}.fsGroupChangePolicy`, context.fsGroupChangePolicy, [
      'Always',
      'OnRootMismatch',
    ]);
  if (context.supplementalGroupsPolicy !== undefined)
    checkOneOf(problems, `${path}.supplementalGroupsPolicy`, context.supplementalGroupsPolicy, [
      'Merge',
      'Strict',
    ]);
  checkSeccomp(context.seccompProfile, `${path}.seccompProfile`, problems);
  checkAppArmor(context.appArmorProfile, `${path}.appArmorProfile`, problems);
  checkSysctls(context, spec, problems);
  if (spec.shareProcessNamespace === true && spec.hostPID === true)
    problems.invalid(
      'spec.shareProcessNamespace',
      true,
      'ShareProcessNamespace and HostPID cannot both be enabled',
    );
  if (spec.hostUsers !== false) return;
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC'] as const)
    if (spec[field] === true) problems.forbidden(`spec.${field}`, 'when `hostUsers` is false');
}

function checkSysctls({ sysctls = [] }: PodSecurityContext, spec: PodSpec, problems: Problems): void {
  const seen = new Set<string>();
  for (const [at, { name }] of sysctls.entries()) {
    const path = `spec.securityContext.sysctls[${at}]`;
    if (!name) problems.required(`${path}.name`);
    else if (name.length > 253 || !sysctlPattern.test(name))
      problems.invalid(
        `${path}.name`,
        name,
        `must have at most 253 characters and match regex ${sysctlPattern.source}`,
      );
    else if (seen.has(name)) problems.duplicate(`${path}.name`, name);
    seen.add(name);
    const dotted = name.replaceAll('/', '.');
    if (spec.hostNetwork === true && dotted.startsWith('net.'))
      problems.invalid(`${path}.name`, name, "may not be specified when 'hostNetwork' is true");
    if (spec.hostIPC === true && /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(dotted))
      problems.invalid(`${path}.name`, name, "may not be specified when 'hostIPC' is true");
  }
}
