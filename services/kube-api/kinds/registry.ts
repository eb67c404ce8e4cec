/** All resources that the API serves, with what is special about each. */
import { type KindInfo, kinds } from '#contracts/kubernetes/kinds.ts';
import { apiVersionOf } from '#contracts/kubernetes/meta.ts';
import { resourceName } from '../http/status.ts';
import { newEventStrategy } from './new-events.ts';
import {
  claimStrategy,
  csrStrategy,
  eventStrategy,
  namespaceStrategy,
  nodeStrategy,
  serviceStrategy,
  statusPart,
  volumeStrategy,
} from './others.ts';
import { podStrategy } from './pods.ts';
import type { ResourceType, Strategy } from './strategy.ts';

const strategies: Record<string, Strategy | undefined> = {
  Pod: podStrategy,
  Namespace: namespaceStrategy,
  Node: nodeStrategy,
  Service: serviceStrategy,
  CertificateSigningRequest: csrStrategy,
  Event: eventStrategy,
  PersistentVolume: volumeStrategy,
  PersistentVolumeClaim: claimStrategy,
  VolumeAttachment: { parts: { status: statusPart } },
  Lease: { createOnUpdate: true },
  ServiceAccount: { returnsDeleted: true },
  Secret: { selectable: ['type'] },
};
/** Where two kinds have one name. */
const strategiesByVersion: Record<string, Strategy | undefined> = {
  'events.k8s.io/v1 Event': newEventStrategy,
};

/** Finds resources by what a path names. */
export interface Registry {
  readonly all: readonly ResourceType[];
  find(group: string, version: string, plural: string): ResourceType | undefined;
  /** By the name in the store: `pods`, `leases.coordination.k8s.io`. */
  byResource(resource: string): ResourceType;
  byKind(kind: string): ResourceType;
}

/** The registry of all kinds. */
export function createRegistry(): Registry {
  const all = kinds.map((kind: KindInfo) => ({
    kind,
    resource: resourceName(kind),
    strategy: strategiesByVersion[`${apiVersionOf(kind)} ${kind.kind}`] ?? strategies[kind.kind] ?? {},
  }));
  const required = (found: ResourceType | undefined): ResourceType => {
    if (found === undefined) throw new Error('no such resource type');
    return found;
  };
  return {
    all,
    find: (group, version, plural) =>
      all.find(({ kind }) => kind.plural === plural && kind.group === group && kind.version === version),
    byResource: (resource) => required(all.find((each) => each.resource === resource)),
    byKind: (name) => required(all.find((each) => each.kind.kind === name)),
  };
}
