/** Which objects a list, a watch or a deletion of a collection is about. */
import {
  type FieldRequirement,
  fieldValue,
  matchesFields,
  parseFieldSelector,
} from '#contracts/kubernetes/fields.ts';
import { type LabelRequirement, matchesLabels, parseLabelSelector } from '#contracts/kubernetes/labels.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { ApiRequest } from '../http/request.ts';
import { badRequest } from '../http/status.ts';
import type { ResourceType } from '../kinds/strategy.ts';

/** A choice of objects of one resource. */
export interface Selection {
  namespace: string | undefined;
  labels: LabelRequirement[];
  fields: FieldRequirement[];
  matches(object: KubeObject): boolean;
  /** The only name that can match; undefined if there may be several. */
  name: string | undefined;
}

/** Reads the namespace and the selectors of a call. @throws 400 for broken ones and for unknown fields. */
export function selectionOf(request: Pick<ApiRequest, 'query' | 'target'>, type: ResourceType): Selection {
  const labels = parse(request.query.get('labelSelector'), parseLabelSelector);
  const fields = parse(request.query.get('fieldSelector'), parseFieldSelector);
  const allowed = [
    'metadata.name',
    ...(type.kind.namespaced ? ['metadata.namespace'] : []),
    ...(type.strategy.selectable ?? []),
  ];
  for (const { field } of fields) {
    if (allowed.includes(field)) continue;
    const supported = allowed.map((each) => JSON.stringify(each)).join(', ');
    throw badRequest(
      type.strategy.selectable === undefined
        ? `${JSON.stringify(field)} is not a known field selector: only ${supported}`
        : `field label not supported: ${field}; supported are ${supported}`,
    );
  }
  const namespace = type.kind.namespaced ? request.target.namespace : undefined;
  const { name } = request.target;
  return {
    namespace,
    labels,
    fields,
    name: name ?? fields.find(({ field, equal }) => field === 'metadata.name' && equal)?.value,
    matches: (object) =>
      (namespace === undefined || object.metadata.namespace === namespace) &&
      (name === undefined || object.metadata.name === name) &&
      (labels.length === 0 || matchesLabels(labels, object.metadata.labels)) &&
      (fields.length === 0 || matchesFields(fields, selectable(object))),
  };
}

function parse<T>(text: string | null, read: (text: string) => T[]): T[] {
  if (text === null || text === '') return [];
  try {
    return read(text);
  } catch (error) {
    if (isSkiffError(error)) throw badRequest(messageOf(error));
    throw error;
  }
}

/** An event's `source` is selected by its component; fields that are left out have their defaults. */
function selectable(object: KubeObject): unknown {
  if (object.kind === 'Event') return { ...object, source: fieldValue(object, 'source.component') };
  if (object.kind === 'Pod' && fieldValue(object, 'spec.hostNetwork') === '') {
    const pod = object as KubeObject & { spec?: object };
    return { ...pod, spec: { ...pod.spec, hostNetwork: false } };
  }
  if (object.kind === 'Node' && fieldValue(object, 'spec.unschedulable') === '')
    return { ...object, spec: { unschedulable: false } };
  return object;
}
