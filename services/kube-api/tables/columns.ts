/** The columns and rows of each kind, as the original's printers have them. */
import type {
  CertificateSigningRequest,
  ConfigMap,
  CoreEvent,
  CSIDriver,
  CSINode,
  EndpointSlice,
  KubeObject,
  Lease,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  PriorityClass,
  RuntimeClass,
  Secret,
  Service,
  ServiceAccount,
  StorageClass,
  VolumeAttachment,
} from '#contracts/kubernetes/types.ts';
import { age, type Column, column, duration, joined, orNone, pairs, wide } from './cells.ts';
import { podRow } from './pod-row.ts';

/** How a kind is shown. */
export interface Layout {
  columns: readonly Column[];
  row(object: never, now: number): unknown[];
}

const name = column('Name', 'Name must be unique within a namespace.');
const created = column(
  'Age',
  'CreationTimestamp is a timestamp representing the server time when this object was created.',
);
const born = (object: KubeObject, now: number) => age(object.metadata.creationTimestamp, now);

/** Name and age, for kinds without a layout of their own. */
const plain: Layout = {
  columns: [name, column('Created At', '', 'date')],
  row: ({ metadata }: KubeObject) => [metadata.name, metadata.creationTimestamp],
};

const layouts: Record<string, Layout | undefined> = {
  Pod: {
    columns: [
      name,
      column('Ready', 'The aggregate readiness state of this pod for accepting traffic.'),
      column('Status', 'The aggregate status of the containers in this pod.'),
      column(
        'Restarts',
        'The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.',
      ),
      created,
      wide('IP'),
      wide('Node'),
      wide('Nominated Node'),
      wide('Readiness Gates'),
    ],
    row: podRow,
  },
  ConfigMap: {
    columns: [name, column('Data'), created],
    row: (each: ConfigMap, now: number) => [
      each.metadata.name,
      count(each.data) + count(each.binaryData),
      born(each, now),
    ],
  },
  Secret: {
    columns: [name, column('Type'), column('Data', '', 'integer'), created],
    row: (each: Secret, now: number) => [each.metadata.name, each.type, count(each.data), born(each, now)],
  },
  Namespace: {
    columns: [name, column('Status'), created],
    row: (each: Namespace, now: number) => [each.metadata.name, each.status?.phase, born(each, now)],
  },
  Node: {
    columns: [
      name,
      column('Status'),
      column('Roles'),
      created,
      column('Version'),
      wide('Internal-IP'),
      wide('External-IP'),
      wide('OS-Image'),
      wide('Kernel-Version'),
      wide('Container-Runtime'),
    ],
    row: nodeRow,
  },
  Event: {
    columns: [
      column('Last Seen'),
      column('Type'),
      column('Reason'),
      column('Object'),
      wide('Subobject'),
      wide('Source'),
      column('Message'),
      wide('First Seen'),
      wide('Count'),
      wide('Name'),
    ],
    row: eventRow,
  },
  Service: {
    columns: [
      name,
      column('Type'),
      column('Cluster-IP'),
      column('External-IP'),
      column('Port(s)'),
      created,
      wide('Selector'),
    ],
    row: serviceRow,
  },
  ServiceAccount: {
    columns: [name, column('Secrets'), created],
    row: (each: ServiceAccount, now: number) => [
      each.metadata.name,
      each.secrets?.length ?? 0,
      born(each, now),
    ],
  },
  PersistentVolume: {
    columns: [
      name,
      column('Capacity'),
      column('Access Modes'),
      column('Reclaim Policy'),
      column('Status'),
      column('Claim'),
      column('StorageClass'),
      column('VolumeAttributesClass'),
      column('Reason'),
      created,
      wide('VolumeMode'),
    ],
    row: volumeRow,
  },
  PersistentVolumeClaim: {
    columns: [
      name,
      column('Status'),
      column('Volume'),
      column('Capacity'),
      column('Access Modes'),
      column('StorageClass'),
      column('VolumeAttributesClass'),
      created,
      wide('VolumeMode'),
    ],
    row: claimRow,
  },
  Lease: {
    columns: [name, column('Holder'), created],
    row: (each: Lease, now: number) => [each.metadata.name, each.spec?.holderIdentity ?? '', born(each, now)],
  },
  EndpointSlice: {
    columns: [name, column('AddressType'), column('Ports'), column('Endpoints'), created],
    row: (each: EndpointSlice, now: number) => [
      each.metadata.name,
      each.addressType,
      joined(each.ports?.map((port) => String(port.port ?? '*'))),
      joined(each.endpoints?.flatMap((endpoint) => endpoint.addresses)),
      born(each, now),
    ],
  },
  RuntimeClass: {
    columns: [name, column('Handler'), created],
    row: (each: RuntimeClass, now: number) => [each.metadata.name, each.handler, born(each, now)],
  },
  PriorityClass: {
    columns: [
      name,
      column('Value', '', 'integer'),
      column('Global-Default'),
      created,
      column('PreemptionPolicy'),
    ],
    row: (each: PriorityClass, now: number) => [
      each.metadata.name,
      each.value,
      String(each.globalDefault ?? false),
      born(each, now),
      each.preemptionPolicy,
    ],
  },
  StorageClass: {
    columns: [
      name,
      column('Provisioner'),
      column('ReclaimPolicy'),
      column('VolumeBindingMode'),
      column('AllowVolumeExpansion'),
      created,
    ],
    row: (each: StorageClass, now: number) => [
      each.metadata.name,
      each.provisioner,
      each.reclaimPolicy,
      each.volumeBindingMode,
      String(each.allowVolumeExpansion ?? false),
      born(each, now),
    ],
  },
  CSINode: {
    columns: [name, column('Drivers', '', 'integer'), created],
    row: (each: CSINode, now: number) => [
      each.metadata.name,
      each.spec?.drivers?.length ?? 0,
      born(each, now),
    ],
  },
  CSIDriver: {
    columns: [name, column('AttachRequired'), column('PodInfoOnMount'), column('Modes'), created],
    row: (each: CSIDriver, now: number) => [
      each.metadata.name,
      String(each.spec.attachRequired ?? true),
      String(each.spec.podInfoOnMount ?? false),
      joined(each.spec.volumeLifecycleModes),
      born(each, now),
    ],
  },
  VolumeAttachment: {
    columns: [name, column('Attacher'), column('PV'), column('Node'), column('Attached'), created],
    row: (each: VolumeAttachment, now: number) => [
      each.metadata.name,
      each.spec.attacher,
      each.spec.source.persistentVolumeName ?? '',
      each.spec.nodeName,
      String(each.status?.attached ?? false),
      born(each, now),
    ],
  },
  CertificateSigningRequest: {
    columns: [
      name,
      created,
      column('SignerName'),
      column('Requestor'),
      column('RequestedDuration'),
      column('Condition'),
    ],
    row: requestRow,
  },
};

/** How objects of a kind are shown. */
export function layoutOf(kind: string): Layout {
  return layouts[kind] ?? plain;
}

function count(map: Record<string, string> | undefined): number {
  return Object.keys(map ?? {}).length;
}

function nodeRow(node: Node, now: number): unknown[] {
  const ready = node.status?.conditions?.find((each) => each.type === 'Ready')?.status;
  const words = [ready === 'True' ? 'Ready' : ready === undefined ? 'Unknown' : 'NotReady'];
  if (node.spec?.unschedulable === true) words.push('SchedulingDisabled');
  const roles = Object.keys(node.metadata.labels ?? {})
    .filter((key) => key.startsWith('node-role.kubernetes.io/'))
    .map((key) => key.slice('node-role.kubernetes.io/'.length));
  const address = (type: string) =>
    orNone(node.status?.addresses?.find((each) => each.type === type)?.address);
  const info = node.status?.nodeInfo;
  return [
    node.metadata.name,
    words.join(','),
    joined(roles.sort()),
    born(node, now),
    info?.kubeletVersion ?? '',
    address('InternalIP'),
    address('ExternalIP'),
    info?.osImage || '<unknown>',
    info?.kernelVersion || '<unknown>',
    info?.containerRuntimeVersion || '<unknown>',
  ];
}

function eventRow(event: CoreEvent, now: number): unknown[] {
  const { involvedObject, source, series } = event;
  const first = event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
  const last = series?.lastObservedTime ?? event.lastTimestamp ?? first;
  const times = series?.count ?? event.count ?? 1;
  return [
    times > 1 ? `${age(last, now)} (x${times} over ${age(first, now)})` : age(last, now),
    event.type,
    event.reason,
    `${involvedObject.kind?.toLowerCase()}/${involvedObject.name}`,
    involvedObject.fieldPath ?? '',
    joined([source?.component ?? event.reportingComponent, source?.host]).replace(',', ', '),
    (event.message ?? '').trim(),
    age(first, now),
    times,
    event.metadata.name,
  ];
}

function serviceRow(service: Service, now: number): unknown[] {
  const { spec } = service;
  const ports = spec.ports?.map(
    (port) => `${port.port}${port.nodePort ? `:${port.nodePort}` : ''}/${port.protocol}`,
  );
  return [
    service.metadata.name,
    spec.type,
    spec.clusterIP || '<none>',
    spec.type === 'ExternalName' ? spec.externalName : joined(spec.externalIPs),
    joined(ports),
    born(service, now),
    pairs(spec.selector),
  ];
}

const shortModes: Record<string, string> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

function modes(list: readonly string[] | undefined): string {
  return (list ?? []).map((mode) => shortModes[mode] ?? mode).join(',');
}

function volumeRow(volume: PersistentVolume, now: number): unknown[] {
  const { spec, status, metadata } = volume;
  const claim = spec.claimRef;
  return [
    metadata.name,
    spec.capacity?.storage ?? '',
    modes(spec.accessModes),
    spec.persistentVolumeReclaimPolicy,
    metadata.deletionTimestamp === undefined ? status?.phase : 'Terminating',
    claim === undefined ? '' : `${claim.namespace}/${claim.name}`,
    spec.storageClassName ?? '',
    spec.volumeAttributesClassName ?? '<unset>',
    status?.reason ?? '',
    born(volume, now),
    spec.volumeMode,
  ];
}

function claimRow(claim: PersistentVolumeClaim, now: number): unknown[] {
  const { spec, status, metadata } = claim;
  const bound = spec.volumeName !== undefined;
  return [
    metadata.name,
    metadata.deletionTimestamp === undefined ? status?.phase : 'Terminating',
    spec.volumeName ?? '',
    bound ? (status?.capacity?.storage ?? '') : '',
    bound ? modes(status?.accessModes) : '',
    spec.storageClassName ?? '',
    spec.volumeAttributesClassName ?? '<unset>',
    born(claim, now),
    spec.volumeMode,
  ];
}

function requestRow(csr: CertificateSigningRequest, now: number): unknown[] {
  const { spec, status } = csr;
  const conditions = status?.conditions?.map((each) => each.type) ?? [];
  const words = conditions.length === 0 ? ['Pending'] : [...conditions];
  if (status?.certificate !== undefined) words.push('Issued');
  const asked = spec.expirationSeconds;
  return [
    csr.metadata.name,
    born(csr, now),
    spec.signerName,
    spec.username ?? '',
    asked === undefined ? '<none>' : duration(asked),
    words.join(','),
  ];
}
