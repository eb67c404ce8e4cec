/**
 * Reads manifests: multi-document YAML or JSON, into typed objects. Strict: unknown fields, wrong types, double
 * keys, tabs and alias bombs are problems with file, line, column, field and reason.
 */
import { findKind, type KindInfo, unknownKind } from '../kinds.ts';
import type { KubeObject } from '../types.ts';
import { type FieldPath, formatPath } from './path.ts';
import { shapeAs } from './shape.ts';
import { type ParsedDocument, type Position, parseDocuments } from './yaml.ts';

/** Something wrong in a manifest. */
export interface ManifestProblem extends Position {
  file: string;
  /** `spec.containers[0].image`; empty for the whole document. */
  field: string;
  reason: string;
  /** An unknown field, a double key, a document too many: one who is not strict may pass over it, as the original kubelet does. */
  passable?: boolean;
}

/** An object of a manifest, in its model's shape, without defaults. */
export interface ManifestObject {
  object: KubeObject;
  kind: KindInfo;
  file: string;
  /** Line and column of a field, or of the nearest field above it that is written down. */
  locate(path: FieldPath): Position;
}

/** What a manifest holds. */
export interface Manifests {
  objects: ManifestObject[];
  problems: ManifestProblem[];
}

/** `web.yaml:12:7: spec.containers[0].imagePullPolice: unknown field; did you mean "imagePullPolicy"?` */
export function formatProblem({ file, line, column, field, reason }: ManifestProblem): string {
  return `${file}:${line}:${column}: ${field === '' ? '' : `${field}: `}${reason}`;
}

/**
 * Reads one file's text.
 *
 * @param file its name, for the problems.
 * @param onlyFirst passes over the documents after the first, as the original kubelet does.
 */
export function decodeManifests(text: string, file: string, onlyFirst = false): Manifests {
  const { documents, problems } = parseDocuments(text, onlyFirst);
  const result: Manifests = {
    objects: [],
    problems: problems.map((each) => ({ ...each, file, field: '' })),
  };
  for (const document of documents) decodeDocument(document, [], file, result);
  return result;
}

/** @param of what the items of a typed list are: a PodList from an API server does not say it at each. */
function decodeDocument(
  document: ParsedDocument,
  base: FieldPath,
  file: string,
  result: Manifests,
  of: { apiVersion?: string; kind?: string } = {},
): void {
  const locate = (path: FieldPath) => document.locate([...base, ...path]);
  const fail = (path: FieldPath, reason: string, passable = false): void => {
    result.problems.push({ ...locate(path), file, field: formatPath(path), reason, passable });
  };
  const value = at(document.value, base);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    fail([], 'expected an object with apiVersion, kind and metadata');
    return;
  }
  const { apiVersion, kind, items } = { ...of, ...value } as Record<string, unknown>;
  if (typeof kind !== 'string' || kind === '') {
    fail(['kind'], 'Required value');
    return;
  }
  if (typeof apiVersion !== 'string' || apiVersion === '') {
    fail(['apiVersion'], 'Required value');
    return;
  }
  if (isList(kind, items)) {
    const item = kind === 'List' ? {} : { apiVersion, kind: kind.slice(0, -'List'.length) };
    for (const index of items.keys()) decodeDocument(document, [...base, 'items', index], file, result, item);
    return;
  }
  const info = findKind(apiVersion, kind);
  if (info === undefined) {
    fail(['kind'], unknownKind(apiVersion, kind));
    return;
  }
  const { value: shaped, problems } = shapeAs(info.model, value);
  for (const { path, reason, kind: what } of problems) fail(path, reason, what === 'unknown');
  const object = { ...of, ...(shaped as KubeObject) };
  object.metadata ??= {} as KubeObject['metadata'];
  result.objects.push({ object, kind: info, file, locate });
}

function isList(kind: string, items: unknown): items is unknown[] {
  return kind.endsWith('List') && Array.isArray(items);
}

function at(value: unknown, path: FieldPath): unknown {
  let current = value;
  for (const step of path) current = (current as Record<string | number, unknown>)[step];
  return current;
}
