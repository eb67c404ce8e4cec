/** Security contexts: the pod's and the container's merged, and what the runtime is told of them. */
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type LinuxContainerSecurityContextSchema,
  NamespaceMode,
  type NamespaceOptionSchema,
  SecurityProfile_ProfileType,
  type SecurityProfileSchema,
  SupplementalGroupsPolicy,
} from '#contracts/cri/runtime_pb.ts';
import type { AppArmorProfile, Pod, SeccompProfile, SecurityContext } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { AnyContainer } from '../ports.ts';
import { readonlyPaths } from './proc-mount.ts';
import type { ImageUser } from './run-as.ts';

/** What of the configuration enters security contexts. */
export interface SecuritySettings {
  kubeletRoot: string;
  /** Containers without a profile get the runtime's instead of none. */
  seccompDefault: boolean;
  /** What procMount Default hides. */
  maskedPaths: readonly string[];
}

type Profile = MessageInitShape<typeof SecurityProfileSchema>;

/** The container's security context with the pod's filling the gaps. */
export function effectiveSecurity(pod: Pod, container: AnyContainer): SecurityContext {
  const whole = pod.spec.securityContext ?? {};
  const own = container.securityContext ?? {};
  return {
    ...own,
    seLinuxOptions: own.seLinuxOptions ?? whole.seLinuxOptions,
    runAsUser: own.runAsUser ?? whole.runAsUser,
    runAsGroup: own.runAsGroup ?? whole.runAsGroup,
    runAsNonRoot: own.runAsNonRoot ?? whole.runAsNonRoot,
    seccompProfile: own.seccompProfile ?? whole.seccompProfile,
    appArmorProfile: own.appArmorProfile ?? whole.appArmorProfile,
  };
}

/** The CRI's security context of a container. */
export function containerSecurity(
  pod: Pod,
  container: AnyContainer,
  image: ImageUser,
  namespaces: MessageInitShape<typeof NamespaceOptionSchema>,
  settings: SecuritySettings,
): MessageInitShape<typeof LinuxContainerSecurityContextSchema> {
  const security = effectiveSecurity(pod, container);
  const unmasked = security.procMount === 'Unmasked';
  return {
    ...runAs(security, image),
    capabilities: {
      addCapabilities: security.capabilities?.add ?? [],
      dropCapabilities: security.capabilities?.drop ?? [],
    },
    privileged: security.privileged === true,
    namespaceOptions: namespaces,
    selinuxOptions: security.seLinuxOptions,
    runAsGroup: security.runAsGroup === undefined ? undefined : { value: BigInt(security.runAsGroup) },
    readonlyRootfs: security.readOnlyRootFilesystem === true,
    supplementalGroups: supplementalGroups(pod),
    supplementalGroupsPolicy: groupsPolicy(pod),
    noNewPrivs: security.allowPrivilegeEscalation === false,
    maskedPaths: unmasked ? [] : [...settings.maskedPaths],
    readonlyPaths: unmasked ? [] : readonlyPaths,
    seccomp: seccomp(security.seccompProfile, settings),
    apparmor: appArmor(pod, container.name, security.appArmorProfile),
  };
}

/** A stated user wins; otherwise what the image says, root if it says nothing. */
function runAs(
  security: SecurityContext,
  image: ImageUser,
): { runAsUser?: { value: bigint }; runAsUsername?: string } {
  if (security.runAsUser !== undefined) return { runAsUser: { value: BigInt(security.runAsUser) } };
  if (image.uid !== undefined) return { runAsUser: { value: BigInt(image.uid) } };
  return { runAsUsername: image.username };
}

/** fsGroup and the groups listed: what files in volumes are shared by. */
export function supplementalGroups(pod: Pod): bigint[] {
  const { fsGroup, supplementalGroups: listed = [] } = pod.spec.securityContext ?? {};
  return [...(fsGroup === undefined ? [] : [fsGroup]), ...listed].map(BigInt);
}

/** Whether the groups of the image's /etc/group count too. */
export function groupsPolicy(pod: Pod): SupplementalGroupsPolicy {
  const strict = pod.spec.securityContext?.supplementalGroupsPolicy === 'Strict';
  return strict ? SupplementalGroupsPolicy.Strict : SupplementalGroupsPolicy.Merge;
}

function seccomp(profile: SeccompProfile | undefined, settings: SecuritySettings): Profile {
  if (profile === undefined)
    return settings.seccompDefault ? profileOf('RuntimeDefault') : profileOf('Unconfined');
  if (profile.type === 'Localhost') {
    if (profile.localhostProfile === undefined)
      throw new SkiffError(
        'INVALID_ARGUMENT',
        'localhostProfile must be set if seccompProfile type is Localhost.',
      );
    return profileOf('Localhost', join(settings.kubeletRoot, 'seccomp', profile.localhostProfile));
  }
  return profileOf(profile.type);
}

/** The annotation that stood for the field before Kubernetes 1.30. */
const appArmorAnnotation = 'container.apparmor.security.beta.kubernetes.io/';

function appArmor(pod: Pod, container: string, profile: AppArmorProfile | undefined): Profile | undefined {
  const annotated = pod.metadata.annotations?.[`${appArmorAnnotation}${container}`];
  if (profile !== undefined) return profileOf(profile.type, profile.localhostProfile);
  if (annotated === undefined) return undefined;
  if (annotated === 'runtime/default') return profileOf('RuntimeDefault');
  if (annotated === 'unconfined') return profileOf('Unconfined');
  if (annotated.startsWith('localhost/')) return profileOf('Localhost', annotated.slice('localhost/'.length));
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `invalid AppArmor profile "${annotated}" for container "${container}"`,
  );
}

function profileOf(type: string, localhostRef = ''): Profile {
  if (type === 'RuntimeDefault') return { profileType: SecurityProfile_ProfileType.RuntimeDefault };
  if (type === 'Unconfined') return { profileType: SecurityProfile_ProfileType.Unconfined };
  if (type === 'Localhost') return { profileType: SecurityProfile_ProfileType.Localhost, localhostRef };
  throw new SkiffError('INVALID_ARGUMENT', `unknown security profile type "${type}"`);
}

/** The namespaces of a container: NamespaceOption's fields but the user namespace. */
export interface SharedNamespaces {
  network: NamespaceMode;
  ipc: NamespaceMode;
  pid: NamespaceMode;
  targetId: string;
}

/** The namespaces a pod shares with the node, and its containers with each other. */
export function namespaceOptions(pod: Pod, targetContainerId?: string): SharedNamespaces {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec;
  const pid =
    hostPID === true ? NamespaceMode.NODE : shareProcessNamespace === true ? NamespaceMode.POD : undefined;
  const target = targetContainerId !== undefined && pid === undefined;
  return {
    network: hostNetwork === true ? NamespaceMode.NODE : NamespaceMode.POD,
    ipc: hostIPC === true ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: target ? NamespaceMode.TARGET : (pid ?? NamespaceMode.CONTAINER),
    targetId: target ? targetContainerId : '',
  };
}
