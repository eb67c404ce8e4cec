/** Serves OpenAPI v3 (and v2): for `kubectl explain`, `apply` and validation. Built when first asked for. */
import { createHash } from 'node:crypto';
import type { ApiRequest } from '../http/request.ts';
import { sendBytes, sendJson, sendText } from '../http/respond.ts';
import { StatusError } from '../http/status.ts';
import type { Registry } from '../kinds/registry.ts';
import { encodeOpenApi, openApiAnswerType, openApiProtobufType } from './protobuf.ts';

/** Makes the handler. It answers false for other paths. */
export function createOpenApi(registry: Registry): (request: ApiRequest) => Promise<boolean> {
  const documents = new Map<string, string>();
  const build = async (path: string): Promise<string | undefined> => {
    const known = documents.get(path);
    if (known !== undefined) return known;
    const { documentFor } = await import('./document.ts');
    const document = await documentFor(registry, path);
    if (document !== undefined) documents.set(path, JSON.stringify(document));
    return documents.get(path);
  };
  return async (request) => {
    const [root, version, ...rest] = request.segments;
    if (root !== 'openapi' || request.method !== 'GET') return false;
    if (version === 'v3' && rest.length === 0) sendJson(request, 200, await index(registry, build));
    else if (version === 'v3' || (version === 'v2' && rest.length === 0))
      await sendDocument(request, version, rest.join('/'), build);
    else return false;
    return true;
  };
}

async function index(registry: Registry, build: (path: string) => Promise<string | undefined>) {
  const paths: Record<string, { serverRelativeURL: string }> = {};
  for (const path of groupPaths(registry)) {
    const hash = createHash('sha256')
      .update((await build(path)) ?? '')
      .digest('hex')
      .slice(0, 32);
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { paths };
}

/** `api/v1`, `apis/coordination.k8s.io/v1`, ... */
function groupPaths(registry: Registry): string[] {
  const all = registry.all.map(({ kind }) =>
    kind.group === '' ? `api/${kind.version}` : `apis/${kind.group}/${kind.version}`,
  );
  return [...new Set(all)];
}

async function sendProtobuf(
  { response }: ApiRequest,
  build: (path: string) => Promise<string | undefined>,
): Promise<void> {
  const document = JSON.parse((await build('v2')) ?? '{}') as object;
  sendBytes(response, 200, openApiAnswerType, encodeOpenApi(document));
}

async function sendDocument(
  request: ApiRequest,
  version: string,
  path: string,
  build: (path: string) => Promise<string | undefined>,
): Promise<void> {
  const accept = request.raw.headers.accept ?? '*/*';
  if (version === 'v2' && accept.includes(openApiProtobufType)) return sendProtobuf(request, build);
  if (!/application\/json|\*\/\*|application\/\*/.test(accept))
    throw new StatusError(406, 'NotAcceptable', 'OpenAPI documents are served as application/json');
  const text = await build(version === 'v2' ? 'v2' : path);
  if (text === undefined)
    throw new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});
  sendText(request.response, 200, 'application/json', text);
}
