/** Kinds other than pods. Each checks what the original refuses most often. */
import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import type {
  ConfigMap,
  Lease,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  PriorityClass,
  RuntimeClass,
  Secret,
  Service,
} from '../types.ts';
import { checkLabels } from './meta.ts';
import {
  dataKeyProblems,
  dnsLabelProblems,
  dnsSubdomainProblems,
  labelKeyProblems,
  portNameProblems,
} from './names.ts';
import { checkOneOf, type Problems } from './problems.ts';

/** Bytes of data in a ConfigMap or Secret. */
const maxData = 1024 * 1024;

/** Checks a ConfigMap. */
export function checkConfigMap({ data = {}, binaryData = {} }: ConfigMap, problems: Problems): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    problems.invalidAll(`data[${key}]`, key, dataKeyProblems(key));
    if (key in binaryData) problems.invalid(`data[${key}]`, key, 'duplicate of key present in binaryData');
    bytes += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(binaryData)) {
    problems.invalidAll(`binaryData[${key}]`, key, dataKeyProblems(key));
    bytes += Buffer.byteLength(value, 'base64');
  }
  if (bytes > maxData) problems.tooLong('', maxData);
}

/** Checks a Secret. */
export function checkSecret({ data = {}, type }: Secret, problems: Problems): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    problems.invalidAll(`data[${key}]`, key, dataKeyProblems(key));
    bytes += Buffer.byteLength(value, 'base64');
  }
  if (bytes > maxData) problems.tooLong('data', maxData);
  const wanted: Record<string, string[]> = {
    'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
    'kubernetes.io/dockercfg': ['.dockercfg'],
    'kubernetes.io/tls': ['tls.crt', 'tls.key'],
    'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  };
  for (const key of wanted[type ?? ''] ?? []) {
    const text = data[key];
    if (text === undefined) problems.required(`data[${key}]`);
    else if (key.startsWith('.docker') && !isJson(text))
      problems.invalid(`data[${key}]`, '<secret contents redacted>', 'must be a valid JSON document');
  }
}

function isJson(base64: string): boolean {
  try {
    JSON.parse(Buffer.from(base64, 'base64').toString());
    return true;
  } catch {
    return false;
  }
}

/** Immutable ConfigMaps and Secrets stay what they are. */
export function checkDataUpdate(
  now: ConfigMap | Secret,
  before: ConfigMap | Secret,
  problems: Problems,
): void {
  if ('type' in before && (now as Secret).type !== before.type)
    problems.invalid('type', (now as Secret).type ?? '', 'field is immutable');
  if (before.immutable !== true) return;
  if (now.immutable !== true) problems.forbidden('immutable', 'field is immutable when `immutable` is set');
  if (!isDeepStrictEqual(now.data ?? {}, before.data ?? {}))
    problems.forbidden('data', 'field is immutable when `immutable` is set');
}

/** Checks a Service. */
export function checkService({ spec }: Service, problems: Problems): void {
  checkOneOf(problems, 'spec.type', spec.type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']);
  checkOneOf(problems, 'spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']);
  checkLabels(spec.selector, 'spec.selector', problems);
  const ports = spec.ports ?? [];
  if (ports.length === 0 && spec.type !== 'ExternalName' && spec.clusterIP !== 'None')
    problems.required('spec.ports');
  if (spec.type === 'ExternalName' && !spec.externalName) problems.required('spec.externalName');
  const names = new Set<string>();
  for (const [at, port] of ports.entries()) {
    const path = `spec.ports[${at}]`;
    if (ports.length > 1 && !port.name) problems.required(`${path}.name`);
    if (port.name) {
      problems.invalidAll(`${path}.name`, port.name, dnsLabelProblems(port.name));
      if (names.has(port.name)) problems.duplicate(`${path}.name`, port.name);
      names.add(port.name);
    }
    if (!(port.port >= 1 && port.port <= 65535))
      problems.invalid(`${path}.port`, port.port ?? 0, 'must be between 1 and 65535, inclusive');
    checkOneOf(problems, `${path}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']);
    if (typeof port.targetPort === 'string')
      problems.invalidAll(`${path}.targetPort`, port.targetPort, portNameProblems(port.targetPort));
  }
  const ip = spec.clusterIP;
  if (ip && ip !== 'None' && isIP(ip) === 0)
    problems.invalid(
      'spec.clusterIPs[0]',
      ip,
      'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    );
}

/** A service keeps its address. */
export function checkServiceUpdate(now: Service, before: Service, problems: Problems): void {
  if (
    before.spec.clusterIP &&
    now.spec.clusterIP !== before.spec.clusterIP &&
    now.spec.type !== 'ExternalName'
  )
    problems.invalid('spec.clusterIPs[0]', now.spec.clusterIP ?? '', 'may not change once set');
}

/** Checks a Node. */
export function checkNode({ spec }: Node, problems: Problems): void {
  for (const [at, taint] of (spec?.taints ?? []).entries()) {
    problems.invalidAll(`spec.taints[${at}].key`, taint.key, labelKeyProblems(taint.key ?? ''));
    checkOneOf(problems, `spec.taints[${at}].effect`, taint.effect, [
      'NoExecute',
      'NoSchedule',
      'PreferNoSchedule',
    ]);
  }
}

/** Checks a Lease. */
export function checkLease({ spec }: Lease, problems: Problems): void {
  const seconds = spec?.leaseDurationSeconds;
  if (seconds !== undefined && seconds <= 0)
    problems.invalid('spec.leaseDurationSeconds', seconds, 'must be greater than 0');
  const transitions = spec?.leaseTransitions;
  if (transitions !== undefined && transitions < 0)
    problems.invalid('spec.leaseTransitions', transitions, 'must be greater than or equal to 0');
}

/** Checks a PersistentVolume: a capacity, access modes and exactly one source. */
export function checkPersistentVolume({ spec }: PersistentVolume, problems: Problems): void {
  checkAccessModes(spec.accessModes, problems);
  if (spec.capacity?.storage === undefined)
    problems.notSupported('spec.capacity', Object.keys(spec.capacity ?? {}), ['storage']);
  checkOneOf(problems, 'spec.persistentVolumeReclaimPolicy', spec.persistentVolumeReclaimPolicy, [
    'Delete',
    'Recycle',
    'Retain',
  ]);
  checkOneOf(problems, 'spec.volumeMode', spec.volumeMode, ['Block', 'Filesystem']);
  const sources = ['hostPath', 'local', 'nfs', 'csi', 'iscsi', 'fc'] as const;
  const given = sources.filter((source) => spec[source] !== undefined);
  if (given.length === 0) problems.required('spec', 'must specify a volume type');
  for (const source of given.slice(1))
    problems.forbidden(`spec.${source}`, 'may not specify more than 1 volume type');
  if (spec.hostPath !== undefined && !spec.hostPath.path) problems.required('spec.hostPath.path');
  if (spec.local !== undefined && !spec.local.path) problems.required('spec.local.path');
  if (spec.local !== undefined && spec.nodeAffinity === undefined)
    problems.required('spec.nodeAffinity', 'Local volume requires node affinity');
}

function checkAccessModes(modes: string[] | undefined, problems: Problems): void {
  if (modes === undefined || modes.length === 0)
    problems.required('spec.accessModes', 'at least 1 access mode is required');
  for (const mode of modes ?? [])
    checkOneOf(problems, 'spec.accessModes', mode, [
      'ReadOnlyMany',
      'ReadWriteMany',
      'ReadWriteOnce',
      'ReadWriteOncePod',
    ]);
}

/** Checks a PersistentVolumeClaim. */
export function checkPersistentVolumeClaim({ spec }: PersistentVolumeClaim, problems: Problems): void {
  checkAccessModes(spec.accessModes, problems);
  if (spec.resources?.requests?.storage === undefined) problems.required('spec.resources[storage]');
  if (spec.volumeName)
    problems.invalidAll('spec.volumeName', spec.volumeName, dnsSubdomainProblems(spec.volumeName));
}

/** A claim's spec is fixed but for the size and, once, the volume. */
export function checkClaimUpdate(
  now: PersistentVolumeClaim,
  before: PersistentVolumeClaim,
  problems: Problems,
): void {
  const fixed = ({ spec }: PersistentVolumeClaim) => ({
    ...spec,
    resources: null,
    volumeName: null,
    volumeAttributesClassName: null,
  });
  const rebound = before.spec.volumeName !== undefined && now.spec.volumeName !== before.spec.volumeName;
  if (rebound || !isDeepStrictEqual(JSON.stringify(fixed(now)), JSON.stringify(fixed(before))))
    problems.forbidden(
      'spec',
      'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    );
}

/** Checks a RuntimeClass. */
export function checkRuntimeClass({ handler }: RuntimeClass, problems: Problems): void {
  if (!handler) problems.required('handler');
  else problems.invalidAll('handler', handler, dnsLabelProblems(handler));
}

/** Checks a PriorityClass. */
export function checkPriorityClass({ metadata, value }: PriorityClass, problems: Problems): void {
  const system = metadata.name?.startsWith('system-');
  if (system && !['system-node-critical', 'system-cluster-critical'].includes(metadata.name))
    problems.forbidden(
      'metadata.name',
      "priority class names with 'system-' prefix are reserved for system use only",
    );
  if (!system && (value ?? 0) > 1_000_000_000)
    problems.forbidden('value', 'maximum allowed value of a user defined priority is 1000000000');
}

/** A priority class keeps its value. */
export function checkPriorityUpdate(now: PriorityClass, before: PriorityClass, problems: Problems): void {
  if (now.value !== before.value) problems.forbidden('value', 'may not be changed in an update.');
}
