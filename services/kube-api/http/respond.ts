/** Writes answers. */
import type { ServerResponse } from 'node:http';
import { encodeObject, protobufType, wireModel } from '#contracts/kubernetes/protobuf/envelope.ts';
import { messageOf as wireMessageOf } from '#contracts/kubernetes/protobuf/table.ts';
import type { Status } from '#contracts/kubernetes/types.ts';
import { wantsProtobuf } from './accept.ts';
import type { ApiRequest } from './request.ts';

/** Sends an object, or text that is its JSON already: as JSON, or as protobuf to clients that take only that. */
export function sendJson(request: ApiRequest, status: number, body: unknown): void {
  const { response, warnings } = request;
  if (response.headersSent || response.destroyed) return;
  for (const warning of warnings.slice(0, 20))
    response.appendHeader('warning', `299 - ${JSON.stringify(asAscii(warning))}`);
  sendEncoded(response, status, body);
}

/** Header values are ASCII. */
function asAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 500);
}

function sendEncoded(response: ServerResponse, status: number, body: unknown): void {
  const protobuf = wantsProtobuf(response.req) ? asProtobuf(body) : undefined;
  if (protobuf !== undefined) sendBytes(response, status, protobufType, protobuf);
  else sendText(response, status, 'application/json', typeof body === 'string' ? body : JSON.stringify(body));
}

/** The object as protobuf; undefined for what has no such form: discovery, OpenAPI. */
export function asProtobuf(body: unknown): Buffer | undefined {
  const object = (typeof body === 'string' ? JSON.parse(body) : body) as {
    apiVersion?: string;
    kind?: string;
  };
  return wireMessageOf(wireModel(object)) === undefined ? undefined : encodeObject(object);
}

/** Sends text. */
export function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  sendBytes(response, status, type, Buffer.from(text));
}

/** Sends bytes. */
export function sendBytes(response: ServerResponse, status: number, type: string, bytes: Buffer): void {
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
  sendEncoded(response, status.code, status);
}
