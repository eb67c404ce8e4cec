/**
 * Makes the OCI config.json of a container from its CRI config, its image and its sandbox. Pure but for reads of
 * the image's user files and of host paths to mount; one file for each part of the document.
 */

import { MountPropagation } from '#contracts/cri/runtime_pb.ts';
import { ociVersion, type RuntimeSpec } from '#contracts/oci/runtime.ts';
import { applyCdi } from './cdi.ts';
import { devicesOf } from './devices.ts';
import type { SpecInput } from './input.ts';
import { mountsOf } from './mounts.ts';
import { namespacesOf } from './namespaces.ts';
import { processSpec } from './process.ts';
import { resourcesOf } from './resources.ts';
import { seccompFor } from './seccomp.ts';
import { type ContainerUser, resolveUser } from './user.ts';

/** A finished document, and the user that the CRI's status tells of. */
export interface BuiltSpec {
  spec: RuntimeSpec;
  user: ContainerUser;
}

/** @throws SkiffError INVALID_ARGUMENT or FAILED_PRECONDITION, naming the field that cannot be honoured. */
export function buildSpec(input: SpecInput): BuiltSpec {
  const { config, image, rootPath } = input;
  const context = config.linux?.securityContext;
  const user = resolveUser(rootPath, context, image.config.User ?? '');
  const process = processSpec(input, user);
  const { devices, rules } = devicesOf(input);
  const seccomp = seccompFor(context, new Set(process.capabilities?.bounding), input.host.seccomp);
  const propagation = rootPropagation(input);
  const spec: RuntimeSpec = {
    ociVersion,
    process,
    root: { path: rootPath, ...(context?.readonlyRootfs === true ? { readonly: true } : {}) },
    mounts: mountsOf(input),
    annotations: annotationsOf(input),
    linux: {
      ...namespacesOf(input),
      ...(devices.length === 0 ? {} : { devices }),
      cgroupsPath: input.cgroupsPath,
      resources: { ...resourcesOf(config.linux?.resources, input.host), devices: rules },
      ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
      ...(seccomp === undefined ? {} : { seccomp }),
      ...hiddenPaths(input),
      ...(input.labels === undefined ? {} : { mountLabel: input.labels.mount }),
    },
  };
  return { spec: applyCdi(spec, config, input.cdiDirectories), user };
}

/** Exactly what was sent; a privileged container hides nothing. */
function hiddenPaths({ config }: SpecInput): { maskedPaths?: string[]; readonlyPaths?: string[] } {
  const context = config.linux?.securityContext;
  if (context === undefined || context.privileged) return {};
  return { maskedPaths: context.maskedPaths, readonlyPaths: context.readonlyPaths };
}

/** A mount can only propagate as far as the root of its container does. */
function rootPropagation({ config }: SpecInput): 'rshared' | 'rslave' | undefined {
  const kinds = new Set(config.mounts.map((mount) => mount.propagation));
  if (kinds.has(MountPropagation.PROPAGATION_BIDIRECTIONAL)) return 'rshared';
  return kinds.has(MountPropagation.PROPAGATION_HOST_TO_CONTAINER) ? 'rslave' : undefined;
}

/** The names that tools which look at containers from outside (VM runtimes, debuggers) know. */
function annotationsOf({ id, sandbox, config, image }: SpecInput): Record<string, string> {
  const pod = sandbox.config.metadata;
  const prefix = 'io.kubernetes.cri.';
  return {
    [`${prefix}container-type`]: 'container',
    [`${prefix}container-id`]: id,
    [`${prefix}container-name`]: config.metadata?.name ?? '',
    [`${prefix}image-name`]: config.image?.userSpecifiedImage || config.image?.image || image.id,
    [`${prefix}sandbox-id`]: sandbox.id,
    [`${prefix}sandbox-name`]: pod?.name ?? '',
    [`${prefix}sandbox-namespace`]: pod?.namespace ?? '',
    [`${prefix}sandbox-uid`]: pod?.uid ?? '',
  };
}
