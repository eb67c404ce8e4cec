/** Questions about a pod's containers that several parts ask. */
import type { Container, Pod } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { specOf } from './identity.ts';

/** What a container is in its pod. */
export type ContainerKind = 'init' | 'regular' | 'ephemeral';

/** An init container that runs as long as the pod: KEP-753. */
export function isSidecar(container: AnyContainer): boolean {
  return container.restartPolicy === 'Always';
}

export function initContainers(pod: Pod): Container[] {
  return specOf(pod).initContainers ?? [];
}

/** Sidecars in the order of the spec; a regular container with `restartPolicy: Always` is none. */
export function sidecars(pod: Pod): Container[] {
  return initContainers(pod).filter(isSidecar);
}

/** Every container: init, regular, ephemeral. */
export function allContainers(pod: Pod): AnyContainer[] {
  const spec = specOf(pod);
  return [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
}

export function findContainer(
  pod: Pod,
  name: string,
): { container: AnyContainer; kind: ContainerKind } | undefined {
  const spec = specOf(pod);
  const kinds: [ContainerKind, AnyContainer[]][] = [
    ['init', spec.initContainers ?? []],
    ['regular', spec.containers],
    ['ephemeral', spec.ephemeralContainers ?? []],
  ];
  for (const [kind, list] of kinds) {
    const container = list.find((each) => each.name === name);
    if (container !== undefined) return { container, kind };
  }
  return undefined;
}

/** `spec.containers{name}`, as events point at a container. */
export function fieldPath(pod: Pod, name: string): string {
  const field = { init: 'initContainers', regular: 'containers', ephemeral: 'ephemeralContainers' } as const;
  return `spec.${field[findContainer(pod, name)?.kind ?? 'regular']}{${name}}`;
}
