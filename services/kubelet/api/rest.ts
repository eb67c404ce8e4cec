/** Calls of the API that have no name of their own in `KubeletApi`. */
import type { ApiClient, PatchType } from '#contracts/kubernetes/client/client.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { RestRequest } from '../ports.ts';

/** @throws SkiffError with the HTTP status's code. */
export function rest<T>(client: ApiClient, request: RestRequest): Promise<T> {
  const { method, path, body, signal, timeoutMs, model } = request;
  const options = { signal, timeoutMs, model };
  if (method === 'GET') return client.get(path, options);
  if (method === 'POST') return client.create(path, body, options);
  if (method === 'PUT') return client.update(path, body, options);
  if (method === 'DELETE') return client.delete(path, body, options);
  return client.patch(path, patchType(request.contentType), body, options);
}

const patchTypes: readonly PatchType[] = [
  'json-patch',
  'merge-patch',
  'strategic-merge-patch',
  'apply-patch',
];

function patchType(contentType = 'application/strategic-merge-patch+json'): PatchType {
  const type = patchTypes.find((each) => contentType.startsWith(`application/${each}`));
  if (type !== undefined) return type;
  throw new SkiffError('INVALID_ARGUMENT', `Cannot patch with content type "${contentType}"`);
}
