/** What is special about the kinds that are not pods. */
import type {
  CertificateSigningRequest,
  KubeObject,
  Namespace,
  Service,
} from '#contracts/kubernetes/types.ts';
import { badRequest, StatusError } from '../http/status.ts';
import type { PartialUpdate, Strategy, Surroundings } from './strategy.ts';

/** The status subresource: the status changes, labels and annotations may, the rest stays. */
export const statusPart: PartialUpdate = {
  merge: (now: KubeObject & { status?: unknown }, before: KubeObject) => {
    const { labels, annotations, resourceVersion, managedFields } = now.metadata;
    const metadata = { ...before.metadata, labels, annotations, resourceVersion, managedFields };
    return { ...before, metadata, status: now.status } as KubeObject;
  },
};

/** Namespaces that can never go. */
const permanent = new Set(['default', 'kube-system', 'kube-public', 'kube-node-lease']);

export const namespaceStrategy: Strategy = {
  selectable: ['status.phase'],
  returnsDeleted: true,
  prepareCreate: (namespace: Namespace) => {
    namespace.spec = { ...namespace.spec, finalizers: ['kubernetes'] };
    namespace.status = { phase: 'Active' };
  },
  prepareUpdate: (now: Namespace, before: Namespace) => {
    now.spec = before.spec;
  },
  checkDelete: ({ metadata }: Namespace) => {
    if (permanent.has(metadata.name))
      throw new StatusError(
        403,
        'Forbidden',
        `namespaces "${metadata.name}" is forbidden: this namespace may not be deleted`,
      );
  },
  parts: {
    status: statusPart,
    finalize: {
      merge: (now: Namespace, before: Namespace) => ({
        ...before,
        metadata: { ...before.metadata, resourceVersion: now.metadata.resourceVersion },
        spec: now.spec,
      }),
    },
  },
};

export const nodeStrategy: Strategy = {
  statusOnCreate: true,
  selectable: ['spec.unschedulable'],
  parts: { status: statusPart },
};

export const serviceStrategy: Strategy = {
  returnsDeleted: true,
  selectable: ['spec.clusterIP', 'spec.type'],
  prepareCreate: allocateAddress,
  prepareUpdate: (now: Service, before: Service) => {
    now.spec.clusterIP ??= before.spec.clusterIP;
    now.spec.clusterIPs ??= before.spec.clusterIPs;
  },
  parts: { status: statusPart },
};

/** 10.43.0.0/16, of which .0.1 is the API's own service. */
const servicePrefix = '10.43.';
const serviceAddresses = 65_000;

function allocateAddress(service: Service, { store }: Surroundings): void {
  service.status = { loadBalancer: {} };
  const { spec } = service;
  if (spec === undefined || spec.type === 'ExternalName' || spec.clusterIP === 'None') return;
  const taken = new Set(store.list('services').map((each) => (each.object as Service).spec.clusterIP));
  if (spec.clusterIP === undefined || spec.clusterIP === '') {
    const free = addresses().find((address) => !taken.has(address));
    if (free === undefined) throw new StatusError(500, 'InternalError', 'all service addresses are taken');
    spec.clusterIP = free;
  } else if (taken.has(spec.clusterIP)) {
    throw badRequest(
      `spec.clusterIPs: Invalid value: ${JSON.stringify([spec.clusterIP])}: failed to allocate IP ${spec.clusterIP}: provided IP is already allocated`,
    );
  }
  spec.clusterIPs = [spec.clusterIP];
}

function* addresses(): Generator<string> {
  for (let number = 10; number < serviceAddresses; number += 1)
    yield `${servicePrefix}${number >> 8}.${number & 255}`;
}

export const csrStrategy: Strategy = {
  selectable: ['spec.signerName'],
  prepareCreate: (csr: CertificateSigningRequest, { user }: Surroundings) => {
    csr.spec = {
      ...csr.spec,
      username: user.name,
      uid: user.uid,
      groups: [...user.groups],
      extra: user.extra,
    };
    csr.status = {};
  },
  prepareUpdate: (now: CertificateSigningRequest, before: CertificateSigningRequest) => {
    now.spec = before.spec;
  },
  parts: {
    status: statusPart,
    approval: {
      merge: (now: CertificateSigningRequest, before: CertificateSigningRequest) => ({
        ...before,
        status: { ...before.status, conditions: now.status?.conditions },
      }),
    },
  },
};

export const eventStrategy: Strategy = {
  createOnUpdate: true,
  selectable: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
};

export const volumeStrategy: Strategy = {
  returnsDeleted: true,
  finalizers: ['kubernetes.io/pv-protection'],
  parts: { status: statusPart },
};

export const claimStrategy: Strategy = {
  returnsDeleted: true,
  finalizers: ['kubernetes.io/pvc-protection'],
  parts: { status: statusPart },
};
