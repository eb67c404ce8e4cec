/**
 * One call: who asks, for what, with which options. `parseRequest` reads the path as the original's
 * RequestInfo does. https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { badRequest, noSuchPath } from './status.ts';

/** Who asks. */
export interface User {
  name: string;
  uid?: string;
  groups: readonly string[];
  extra?: Record<string, string[]>;
}

/** What the path names. */
export interface Target {
  /** Empty for the core group; undefined for paths that are not resources (`/version`, `/healthz`). */
  group?: string;
  version?: string;
  namespace?: string;
  /** The plural. */
  resource?: string;
  name?: string;
  subresource?: string;
  /** What follows after the subresource: `proxy/...`. */
  rest?: string;
}

/** One call. */
export interface ApiRequest {
  raw: IncomingMessage;
  response: ServerResponse;
  method: string;
  /** Decoded segments of the path. */
  segments: readonly string[];
  path: string;
  query: URLSearchParams;
  target: Target;
  user: User;
  /** Aborts when the client is gone or the server stops. */
  signal: AbortSignal;
  /** Warnings to tell the client in a header. */
  warnings: string[];
}

/** Splits and decodes a path. @throws 400 for what could be read in two ways. */
export function pathSegments(pathname: string): string[] {
  const segments = pathname.split('/').slice(1);
  if (segments.at(-1) === '') segments.pop();
  return segments.map((segment) => {
    const plain = decode(segment);
    if (plain === '' || plain === '.' || plain === '..' || plain.includes('/') || plain.includes('\0'))
      throw badRequest(`the path has a segment ${JSON.stringify(plain)} that no name can be`);
    return plain;
  });
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw badRequest('the path is not valid percent-encoding');
  }
}

/** Reads what a path names. @throws 404 for what can be no resource path. */
export function parseTarget(segments: readonly string[]): Target {
  const [root, ...rest] = segments;
  if (root === 'api' && rest.length >= 2) return resourceTarget('', rest[0] ?? '', rest.slice(1));
  if (root === 'apis' && rest.length >= 3) return resourceTarget(rest[0] ?? '', rest[1] ?? '', rest.slice(2));
  return {};
}

function resourceTarget(group: string, version: string, parts: string[]): Target {
  if (parts[0] === 'watch') throw noSuchPath('watch a collection with ?watch=true');
  const inNamespace =
    parts[0] === 'namespaces' && parts.length > 2 && !['status', 'finalize'].includes(parts[2] ?? '');
  const [resource, name, subresource, ...rest] = inNamespace ? parts.slice(2) : parts;
  const target: Target = { group, version, resource };
  if (inNamespace) target.namespace = parts[1];
  if (name !== undefined) target.name = name;
  if (subresource !== undefined) target.subresource = subresource;
  if (rest.length > 0) target.rest = rest.join('/');
  // A namespace is within itself: that is what authorization looks at.
  if (group === '' && resource === 'namespaces' && name !== undefined) target.namespace = name;
  return target;
}

/** Whether a query parameter is set to something true. */
export function isTrue(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value === '1' || value === 'true' || value === 'True';
}
