/** Writes answers. */
import type { ServerResponse } from 'node:http';
import type { Status } from '#contracts/kubernetes/types.ts';
import type { ApiRequest } from './request.ts';

/** Sends JSON: an object, or text that is JSON already. */
export function sendJson(request: ApiRequest, status: number, body: unknown): void {
  const { response, warnings } = request;
  if (response.headersSent || response.destroyed) return;
  for (const warning of warnings.slice(0, 20))
    response.appendHeader('warning', `299 - ${JSON.stringify(asAscii(warning))}`);
  sendText(response, status, 'application/json', typeof body === 'string' ? body : JSON.stringify(body));
}

/** Header values are ASCII. */
function asAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 500);
}

/** Sends text. */
export function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  const bytes = Buffer.from(text);
  response.writeHead(status, {
    'content-type': type,
    'content-length': bytes.length,
    'cache-control': 'no-cache, private',
  });
  response.end(bytes);
}

/** Sends a failure. */
export function sendStatus(response: ServerResponse, status: Status & { code: number }): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const retry = status.details?.retryAfterSeconds;
  if (retry !== undefined) response.setHeader('retry-after', retry);
  sendText(response, status.code, 'application/json', JSON.stringify(status));
}
