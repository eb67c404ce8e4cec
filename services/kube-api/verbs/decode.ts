/** Turns a body into an object of the kind that the path names. */
import { duplicateKeys } from '#contracts/kubernetes/decode/duplicate-keys.ts';
import { formatPath } from '#contracts/kubernetes/decode/path.ts';
import { formatShapeProblem, type ShapeProblem, shapeAs } from '#contracts/kubernetes/decode/shape.ts';
import type { KindInfo } from '#contracts/kubernetes/kinds.ts';
import { apiVersionOf } from '#contracts/kubernetes/meta.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { contentType, parseBody, readBody } from '../http/body.ts';
import type { ApiRequest } from '../http/request.ts';
import { badRequest, type StatusError } from '../http/status.ts';

type Refusal = (kind: KindInfo, why: string) => StatusError;

/** Reads the body of a create or an update. @param translate changes it first. @throws 400 with the problems, 413, 415. */
export async function readObject(
  request: ApiRequest,
  kind: KindInfo,
  translate: (value: unknown) => unknown = (value) => value,
): Promise<KubeObject> {
  const type = contentType(request);
  const bytes = await readBody(request);
  const value = translate(parseBody(bytes, type, kind.model));
  const doubles = type.endsWith('json') ? duplicateKeys(bytes.toString()) : [];
  return asObject(
    request,
    kind,
    value,
    doubles.map((path) => `duplicate field "${formatPath(path)}"`),
  );
}

/**
 * Brings a value into the kind's shape. Unknown fields are refused, warned of or dropped, as the query's
 * fieldValidation says.
 *
 * @param doubles further problems of the same sort.
 * @param refuse makes the failure for what is not in the kind's shape; 400 unless told.
 * @throws StatusError.
 */
export function asObject(
  request: Pick<ApiRequest, 'query' | 'warnings'>,
  kind: KindInfo,
  value: unknown,
  doubles: readonly string[] = [],
  refuse: Refusal = cannotHandle,
): KubeObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badRequest(`the body of the request is not an object of kind ${kind.kind}`);
  checkKind(kind, value as { apiVersion?: unknown; kind?: unknown });
  const { value: shaped, problems } = shapeAs(kind.model, value);
  const wrong = problems.filter((problem) => problem.kind === 'type');
  if (wrong.length > 0) throw refuse(kind, wrong.map(formatShapeProblem).join(', '));
  judgeUnknown(request, kind, refuse, [...problems.map(unknownText), ...doubles]);
  const object = shaped as KubeObject;
  object.metadata ??= {} as KubeObject['metadata'];
  object.apiVersion = apiVersionOf(kind);
  object.kind = kind.kind;
  return object;
}

function unknownText({ path, reason }: ShapeProblem): string {
  const hint = reason.replace(/^unknown field(; )?/, '');
  return `unknown field "${formatPath(path)}"${hint === '' ? '' : ` (${hint})`}`;
}

function checkKind(kind: KindInfo, value: { apiVersion?: unknown; kind?: unknown }): void {
  const expected = apiVersionOf(kind);
  if (value.apiVersion !== undefined && value.apiVersion !== expected)
    throw badRequest(
      `the API version in the data (${String(value.apiVersion)}) does not match the expected API version (${expected})`,
    );
  if (value.kind !== undefined && value.kind !== kind.kind)
    throw badRequest(
      `the kind in the data (${String(value.kind)}) does not match the expected kind (${kind.kind})`,
    );
}

function cannotHandle(kind: KindInfo, why: string): StatusError {
  return badRequest(`${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: ${why}`);
}

function judgeUnknown(
  request: Pick<ApiRequest, 'query' | 'warnings'>,
  kind: KindInfo,
  refuse: Refusal,
  texts: string[],
): void {
  if (texts.length === 0) return;
  const mode = request.query.get('fieldValidation') ?? 'Warn';
  if (mode === 'Strict') throw refuse(kind, `strict decoding error: ${texts.join(', ')}`);
  if (mode === 'Warn' || mode === '') request.warnings.push(...texts);
  else if (mode !== 'Ignore')
    throw badRequest(`invalid fieldValidation ${JSON.stringify(mode)}: supported are Ignore, Warn, Strict`);
}
