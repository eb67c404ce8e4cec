/** Builds OpenAPI documents from the schema table. */

import { collectionPath } from '#contracts/kubernetes/kinds.ts';
import { declarationOf } from '#contracts/kubernetes/schema/descriptions.ts';
import { listRule } from '#contracts/kubernetes/schema/lists.ts';
import {
  type Field,
  type FieldType,
  modelNames,
  modelOf,
  type Scalar,
} from '#contracts/kubernetes/schema/schema.ts';
import type { Registry } from '../kinds/registry.ts';
import type { ResourceType } from '../kinds/strategy.ts';

/** Models of apimachinery. */
const metaModels = new Set([
  'ObjectMeta',
  'ListMeta',
  'Status',
  'StatusDetails',
  'StatusCause',
  'DeleteOptions',
  'LabelSelector',
  'LabelSelectorRequirement',
  'OwnerReference',
  'ManagedFieldsEntry',
  'Preconditions',
  'Condition',
  'FieldSelectorRequirement',
]);

const scalars: Record<Scalar, object> = {
  string: { type: 'string' },
  boolean: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  double: { type: 'number', format: 'double' },
  time: { type: 'string', format: 'date-time' },
  microTime: { type: 'string', format: 'date-time' },
  intOrString: { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] },
  quantity: { oneOf: [{ type: 'string' }, { type: 'number' }] },
  bytes: { type: 'string', format: 'byte' },
  any: { type: 'object' },
};

/** The name of a model in the document. */
function schemaName(model: string): string {
  return metaModels.has(model)
    ? `io.k8s.apimachinery.pkg.apis.meta.v1.${model}`
    : `io.k8s.api.core.v1.${model}`;
}

/** The document at `api/v1` and its like, or `v2`; undefined if there is none. */
export async function documentFor(registry: Registry, path: string): Promise<object | undefined> {
  const v2 = path === 'v2';
  const types = registry.all.filter(
    ({ kind }) =>
      v2 || path === (kind.group === '' ? `api/${kind.version}` : `apis/${kind.group}/${kind.version}`),
  );
  if (types.length === 0) return undefined;
  const prefix = v2 ? '#/definitions/' : '#/components/schemas/';
  const names = v2 ? modelNames() : reachable(types.map(({ kind }) => kind.model));
  const schemas = Object.fromEntries(
    names.map((name) => [schemaName(name), schemaOf(name, prefix, registry)]),
  );
  const info = { title: 'Kubernetes', version: 'v1.36.2' };
  const paths = Object.assign({}, ...types.map((type) => pathsOf(type, prefix, v2)));
  return v2
    ? { swagger: '2.0', info, paths, definitions: schemas }
    : { openapi: '3.0.0', info, paths, components: { schemas } };
}

function reachable(roots: readonly string[]): string[] {
  const found = new Set<string>();
  const visit = (name: string) => {
    if (found.has(name)) return;
    found.add(name);
    for (const { type } of modelOf(name)?.values() ?? []) {
      const inner = innermost(type);
      if (inner.kind === 'model') visit(inner.name);
    }
  };
  for (const root of [...roots, 'Status', 'DeleteOptions']) visit(root);
  return [...found].sort();
}

function innermost(type: FieldType): FieldType {
  return type.kind === 'list' || type.kind === 'map' ? innermost(type.of) : type;
}

function schemaOf(name: string, prefix: string, registry: Registry): object {
  const model = modelOf(name) ?? new Map<string, Field>();
  const properties = Object.fromEntries(
    [...model].map(([field, { type }]) => [field, propertyOf(name, field, type, prefix)]),
  );
  const required = [...model].filter(([, field]) => field.required).map(([field]) => field);
  const kind = registry.all.find((each) => each.kind.model === name)?.kind;
  return {
    description: declarationOf(name).description,
    type: 'object',
    properties,
    ...(required.length > 0 ? { required } : {}),
    ...(kind === undefined
      ? {}
      : {
          'x-kubernetes-group-version-kind': [{ group: kind.group, version: kind.version, kind: kind.kind }],
        }),
  };
}

function propertyOf(model: string, field: string, type: FieldType, prefix: string): object {
  const description = declarationOf(model).fields.get(field)?.description || undefined;
  const shape = { ...typeOf(type, prefix) } as Record<string, unknown>;
  // A reference takes no siblings, so that a description goes beside it.
  const described =
    '$ref' in shape && prefix.includes('components')
      ? { allOf: [shape], default: {}, ...(description === undefined ? {} : { description }) }
      : { ...shape, ...(description === undefined ? {} : { description }) };
  const rule = type.kind === 'list' ? listRule(model, field) : undefined;
  if (type.kind !== 'list') return described;
  if (rule === undefined) return { ...described, 'x-kubernetes-list-type': 'atomic' };
  const keys =
    rule.keys.length > 0
      ? { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': rule.keys }
      : { 'x-kubernetes-list-type': 'set' };
  if (rule.mergeKey === undefined) return { ...described, ...keys };
  const strategy = rule.retainKeys === true ? 'merge,retainKeys' : 'merge';
  const merge = rule.mergeKey === '' ? {} : { 'x-kubernetes-patch-merge-key': rule.mergeKey };
  return { ...described, ...keys, ...merge, 'x-kubernetes-patch-strategy': strategy };
}

function typeOf(type: FieldType, prefix: string): object {
  switch (type.kind) {
    case 'list':
      return { type: 'array', items: typeOf(type.of, prefix) };
    case 'map':
      return { type: 'object', additionalProperties: typeOf(type.of, prefix) };
    case 'model':
      return { $ref: prefix + schemaName(type.name) };
    default:
      return prefix.includes('definitions') && (type.name === 'quantity' || type.name === 'intOrString')
        ? { type: 'string' }
        : scalars[type.name];
  }
}

const parameter = (name: string, description: string) => ({
  name,
  in: 'query',
  description,
  schema: { type: 'string', uniqueItems: true },
});
const writeParameters = [
  parameter('dryRun', 'All: nothing is stored.'),
  parameter('fieldManager', 'Who owns the fields that are set.'),
  parameter('fieldValidation', 'Ignore, Warn or Strict: what becomes of unknown fields.'),
];

/** The operations of a kind, with what kubectl looks for: the kind, the action, and the parameters of writes. */
function pathsOf({ kind }: ResourceType, prefix: string, v2: boolean): Record<string, object> {
  const schema = { $ref: prefix + schemaName(kind.model) };
  const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
  const content = (types: readonly string[]) => Object.fromEntries(types.map((type) => [type, { schema }]));
  const responses = {
    '200': { description: 'OK', ...(v2 ? { schema } : { content: content(['application/json']) }) },
  };
  const operation = (action: string, types?: readonly string[]) => ({
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk,
    responses,
    ...(types === undefined ? {} : { parameters: writeParameters }),
    ...(types === undefined || v2 ? {} : { requestBody: { content: content(types) } }),
  });
  const collection = collectionPath(kind, '{namespace}');
  const patches = [
    'application/apply-patch+yaml',
    'application/json-patch+json',
    'application/merge-patch+json',
    'application/strategic-merge-patch+json',
  ];
  return {
    [collection]: { get: operation('list'), post: operation('post', ['*/*']) },
    [`${collection}/{name}`]: {
      get: operation('get'),
      put: operation('put', ['*/*']),
      patch: operation('patch', patches),
      delete: operation('delete'),
    },
  };
}
