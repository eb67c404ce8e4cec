/** Matches a method and a path to a handler. Paths are few and fixed: a list in order does. */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** A request on its way through the server. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  url: URL;
  /** What the path's `:name` parts were, decoded; `*` holds the rest of the path. */
  params: Readonly<Record<string, string>>;
  /** Aborts when the client is gone. */
  signal: AbortSignal;
}

/** Answers a request. What it throws becomes an HTTP error in one place. */
export type Handler = (exchange: Exchange) => Promise<void>;

/** A row of the table. */
export interface Route {
  methods: readonly string[];
  /** `/containerLogs/:namespace/:pod/:container`, or with a `*` at the end for any rest. */
  path: string;
  handle: Handler;
}

/** A row that was found, with the path's parts. */
export interface Match {
  route: Route;
  params: Record<string, string>;
}

/** Finds the row for a path; `wrong method` if only the method does not fit. */
export function findRoute(
  routes: readonly Route[],
  method: string,
  path: string,
): Match | 'wrong method' | undefined {
  let known = false;
  for (const route of routes) {
    const params = matchPath(route.path, path);
    if (params === undefined) continue;
    if (route.methods.includes(method)) return { route, params };
    known = true;
  }
  return known ? 'wrong method' : undefined;
}

function matchPath(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/');
  // `/pods` and `/pods/` are the same, as with the original.
  const parts =
    path.length > 1 && !pattern.endsWith('*') ? path.replace(/\/+$/, '').split('/') : path.split('/');
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    if (part === '*') return { ...params, '*': parts.slice(index).join('/') };
    const given = parts[index];
    if (given === undefined) return undefined;
    if (!part.startsWith(':')) {
      if (part !== given) return undefined;
    } else {
      const value = decoded(given);
      if (value === undefined || value === '') return undefined;
      params[part.slice(1)] = value;
    }
  }
  return parts.length === wanted.length ? params : undefined;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
