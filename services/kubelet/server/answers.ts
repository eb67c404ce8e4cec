/** Answers of the kubelet's API: JSON, text, errors. */
import type { ServerResponse } from 'node:http';
import { codeRow, SkiffError, wrapError } from '#foundation/base/errors.ts';

/** Answers with JSON. */
export function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

/** Answers with text. */
export function sendText(response: ServerResponse, text: string | Buffer, status = 200): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
  });
  response.end(text);
}

/** Answers with an error's HTTP status and message; a begun answer is cut so that the client notices. */
export function sendError(response: ServerResponse, error: unknown): void {
  const known = error instanceof SkiffError ? error : wrapError(error, 'Request failed');
  if (response.headersSent) response.destroy();
  else sendText(response, `${known.message}\n`, statusOf(known));
}

/** The HTTP status of an error; a code that HTTP clients would misread becomes 500. */
export function statusOf(error: SkiffError): number {
  const { http } = codeRow(error.code);
  return http === 499 ? 500 : http;
}
