/**
 * Writes contracts/kubernetes/schema/schema.json from the model classes of @kubernetes/client-node: the types of
 * fields, and which are required. The library takes 0.6 s to import, the table 3 ms, so the table is what decoding
 * uses. Run after an update of the library: `node scripts/kubernetes-schema.ts`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { classNames, declarationOf } from '#contracts/kubernetes/schema/descriptions.ts';

const models = 'node_modules/@kubernetes/client-node/dist/gen/models';
const out = 'contracts/kubernetes/schema/schema.json';

/** The kinds that Skiff serves or reads; what they refer to follows. */
const roots = [
  'V1Pod V1Binding V1Eviction V1Node V1Namespace V1ConfigMap V1Secret V1ServiceAccount V1Service CoreV1Event',
  'EventsV1Event',
  'V1EndpointSlice V1PersistentVolume V1PersistentVolumeClaim V1StorageClass V1CSINode V1CSIDriver',
  'V1VolumeAttachment V1Lease V1RuntimeClass V1PriorityClass V1TokenReview V1SubjectAccessReview',
  'V1SelfSubjectAccessReview V1LocalSubjectAccessReview V1SelfSubjectRulesReview V1SelfSubjectReview',
  'AuthenticationV1TokenRequest V1CertificateSigningRequest V1Status V1DeleteOptions V1ListMeta',
].flatMap((line) => line.split(' '));

const shortNames = new Map(Object.entries(classNames).map(([short, name]) => [name, short]));

/** Fields that hold quantities: the models say only that they are strings. */
const quantityFields = new Set([
  'ResourceRequirements.limits',
  'ResourceRequirements.requests',
  'VolumeResourceRequirements.limits',
  'VolumeResourceRequirements.requests',
  'NodeStatus.capacity',
  'NodeStatus.allocatable',
  'ContainerStatus.allocatedResources',
  'PodStatus.allocatedResources',
  'NodeAllocatableResourceClaimStatus.resources',
  'PodSpec.overhead',
  'Overhead.podFixed',
  'EmptyDirVolumeSource.sizeLimit',
  'ResourceFieldSelector.divisor',
  'PersistentVolumeSpec.capacity',
  'PersistentVolumeClaimStatus.capacity',
  'PersistentVolumeClaimStatus.allocatedResources',
]);

interface Field {
  name: string;
  type: string;
  required: boolean;
}

function shortName(model: string): string {
  return shortNames.get(model) ?? model.replace(/^V1/, '');
}

function typeOf(owner: string, name: string, type: string, format: string): string {
  const list = /^Array<(.*)>$/.exec(type);
  if (list !== null) return `[]${typeOf(owner, name, list[1] ?? '', format)}`;
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type);
  if (map !== null) return `{}${typeOf(owner, name, map[1] ?? '', format)}`;
  if (quantityFields.has(`${owner}.${name}`)) return 'quantity';
  if (type === 'Date') return 'time';
  if (type === 'V1MicroTime') return 'microTime';
  if (type === 'IntOrString') return 'intOrString';
  if (type === 'number') return format === '' ? 'double' : format;
  if (type === 'string') return format === 'byte' ? 'bytes' : 'string';
  return type === 'boolean' || type === 'any' ? type : shortName(type);
}

function read(model: string): Field[] {
  const { fields } = declarationOf(shortName(model));
  const [, rows = '[]'] =
    /attributeTypeMap = (\[[\s\S]*?\n\]);/.exec(readFileSync(`${models}/${model}.js`, 'utf8')) ?? [];
  const attributes = JSON.parse(rows) as { baseName: string; name: string; type: string; format: string }[];
  return attributes.map(({ baseName, name, type, format }) => ({
    name: baseName,
    type: typeOf(shortName(model), baseName, type, format),
    required: fields.get(name)?.required ?? false,
  }));
}

const schema: Record<string, Record<string, string>> = {};
const waiting = [...roots];
for (let model = waiting.pop(); model !== undefined; model = waiting.pop()) {
  const name = shortName(model);
  if (name in schema) continue;
  schema[name] = Object.fromEntries(
    read(model).map((field) => [field.name, field.type + (field.required ? '!' : '')]),
  );
  const rows = readFileSync(`${models}/${model}.js`, 'utf8').matchAll(
    /"type": "(?:Array<|\{ \[key: string\]: )?((?:Core|Authentication|Discovery|Events|Storage)?V1\w+)/g,
  );
  waiting.push(...[...rows].map((row) => row[1] ?? '').filter((next) => next !== 'V1MicroTime'));
}

const sorted = Object.fromEntries(Object.entries(schema).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(out, `${JSON.stringify(sorted, null, 2)}\n`);
