/** The CRI configuration of one container. */
import { rmSync } from 'node:fs';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import {
  type ContainerConfig,
  ContainerConfigSchema,
  type LinuxContainerResourcesSchema,
  Signal,
} from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { undoStack } from '#foundation/base/undo.ts';
import type { AnyContainer, ContainerContext } from '../ports.ts';
import { linuxResources } from '../resources/linux-resources.ts';
import { type PodPaths, podPaths } from '../volumes/pod-paths.ts';
import { releaseSubPaths } from '../volumes/sub-path.ts';
import type { BuilderDeps } from './builder.ts';
import { blockDevices } from './devices.ts';
import { environmentOf, expandWords } from './environment.ts';
import { podNames } from './hostname.ts';
import { writeHostsFile } from './hosts-file.ts';
import { imageUser, verifyNonRoot } from './run-as.ts';
import { containerSecurity } from './security.ts';
import { defaultTerminationPath, makeTerminationLog } from './termination-log.ts';
import { type CriMount, covers, volumeMounts } from './volume-mounts.ts';

/** Builds the configuration of a container and what it needs on disk. @throws whatever is wrong with it. */
export async function buildContainer(
  deps: BuilderDeps,
  pod: Pod,
  container: AnyContainer,
  context: ContainerContext,
): Promise<ContainerConfig> {
  const image = imageUser(context.image);
  verifyNonRoot(pod, container, image);
  const paths = podPaths(deps.kubeletRoot, pod.metadata.uid ?? '');
  const { variables, invalidKeys } = await environmentOf(deps, pod, container, {
    mounts: context.mounts,
    podIps: context.podIps,
    hostIps: deps.node.ips(),
  });
  reportInvalidKeys(deps, pod, container, invalidKeys);
  const allocated = await deps.devices(pod, container);
  await using undo = undoStack();
  undo.defer('release sub-paths', () => releaseSubPaths(paths, container.name));
  const recursiveReadOnly = deps.recursiveReadOnly(pod);
  const mounts = volumeMounts({ pod, container, context, paths, variables, recursiveReadOnly });
  mounts.push(...kubeletFiles(deps, pod, container, context, paths), ...allocated.mounts);
  const terminationPath = container.terminationMessagePath ?? defaultTerminationPath;
  if (terminationPath !== '' && !covers(container, terminationPath)) {
    const file = makeTerminationLog(paths, container.name);
    undo.defer('remove the termination log', () => rmSync(file, { force: true }));
    mounts.push({ containerPath: terminationPath, hostPath: file, selinuxRelabel: true });
  }
  for (const [name, value] of allocated.envs) variables.set(name, value);
  const namespaces = deps.namespaces(pod, context.targetContainerId);
  mapOwners(mounts, namespaces.usernsOptions);
  const config = create(ContainerConfigSchema, {
    metadata: { name: container.name, attempt: context.attempt },
    image: {
      image: context.imageRef,
      userSpecifiedImage: container.image,
      annotations: pod.metadata.annotations,
    },
    command: expandWords(container.command ?? [], variables),
    args: expandWords(container.args ?? [], variables),
    workingDir: container.workingDir ?? '',
    envs: [...variables].map(([key, value]) => ({ key, value: Buffer.from(value) })),
    mounts,
    devices: [...blockDevices(container, context.mounts), ...allocated.devices],
    CDIDevices: allocated.cdiDevices.map((name) => ({ name })),
    labels: context.labels,
    annotations: { ...allocated.annotations, ...context.annotations },
    logPath: context.logPath,
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    stopSignal: stopSignal(container),
    linux: {
      resources: {
        ...resourcesOf(deps, pod, container),
        cpusetCpus: allocated.cpus,
        cpusetMems: allocated.mems,
      },
      securityContext: containerSecurity(pod, container, image, namespaces, deps.security),
    },
  });
  undo.commit();
  return config;
}

function resourcesOf(
  deps: BuilderDeps,
  pod: Pod,
  container: AnyContainer,
): MessageInitShape<typeof LinuxContainerResourcesSchema> {
  return linuxResources(pod, container, deps.resources());
}

/** Volumes of a pod with ids of its own are mounted with their owners mapped: mount_setattr(2), MOUNT_ATTR_IDMAP. */
function mapOwners(mounts: CriMount[], users: ReturnType<BuilderDeps['namespaces']>['usernsOptions']): void {
  if (users === undefined || (users.uids ?? []).length === 0) return;
  for (const mount of mounts) {
    mount.uidMappings = users.uids;
    mount.gidMappings = users.gids;
  }
}

function reportInvalidKeys(deps: BuilderDeps, pod: Pod, container: AnyContainer, keys: string[]): void {
  if (keys.length === 0) return;
  const message = `Keys [${keys.join(', ')}] from the EnvFrom of container "${container.name}" were skipped since they are considered invalid environment variable names.`;
  deps.events.pod(pod, 'Warning', 'InvalidEnvironmentVariableNames', message, { container: container.name });
}

/** /etc/hosts, once the pod has an address and unless the container mounts something there itself. */
function kubeletFiles(
  deps: BuilderDeps,
  pod: Pod,
  container: AnyContainer,
  context: ContainerContext,
  paths: PodPaths,
): CriMount[] {
  if (context.podIps.length === 0 || covers(container, '/etc/hosts')) return [];
  const { hostname, domain } = podNames(pod, deps.dns.clusterDomain);
  writeHostsFile(paths.etcHosts, pod, { podIps: context.podIps, hostname, domain }, deps.hostsFile);
  return [{ containerPath: '/etc/hosts', hostPath: paths.etcHosts, selinuxRelabel: true }];
}

/** `lifecycle.stopSignal` (KEP-4960); unknown and absent ones leave the choice to the image. */
function stopSignal(container: AnyContainer): Signal {
  const name = container.lifecycle?.stopSignal;
  if (name === undefined) return Signal.RUNTIME_DEFAULT;
  const found = Object.entries(Signal).find(
    ([key]) => key === name.replace('+', 'PLUS').replace(/(?<=RTMAX)-/, 'MINUS'),
  );
  return typeof found?.[1] === 'number' ? (found[1] as Signal) : Signal.RUNTIME_DEFAULT;
}
