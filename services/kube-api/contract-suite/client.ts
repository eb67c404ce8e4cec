/** What a case works with: plain calls, and helpers that say what they expected. */
import assert from 'node:assert/strict';
import { Agent, request } from 'undici';
import type { Connection } from '#contracts/kubernetes/client/kubeconfig.ts';

/** JSON as a case looks at it. */
// biome-ignore lint/suspicious/noExplicitAny: answers of any shape are looked into, and a wrong look fails the case.
export type Json = any;

/** One case. */
export interface Case {
  name: string;
  run(t: Session): Promise<void>;
}

/** An answer. */
export interface Answer {
  status: number;
  body: Json;
  headers: Record<string, string | string[] | undefined>;
}

/** How to call beside the body. */
export interface CallOptions {
  type?: string;
  accept?: string;
}

/** One case's view of the server. */
export interface Session {
  /** The case's own namespace. */
  namespace: string;
  /** `/api/v1/namespaces/NS/configmaps[/NAME]`, or another plural. */
  path(plural: string, name?: string): string;
  call(method: string, path: string, body?: unknown, options?: CallOptions): Promise<Answer>;
  get(path: string): Promise<Answer>;
  post(path: string, body: unknown): Promise<Answer>;
  put(path: string, body: unknown): Promise<Answer>;
  patch(path: string, kind: 'json' | 'merge' | 'strategic' | 'apply', body: unknown): Promise<Answer>;
  delete(path: string, body?: unknown): Promise<Answer>;
  /** Opens a watch; `next` waits for an event, `end` closes it. */
  watch(path: string): Promise<WatchStream>;
  /** A ConfigMap that exists. */
  configMap(name: string, extra?: object): Promise<Json>;
  /** A pod that nobody runs. */
  pod(name: string, spec?: object, metadata?: object): Promise<Json>;
}

/** An open watch. */
export interface WatchStream {
  status: number;
  /**
   * The next event of what the case did; undefined when the server ended the watch. Fails after 30 s. Certificates
   * that a cluster's controllers put into every new namespace are passed over.
   */
  next(): Promise<{ type: string; object: Json } | undefined>;
  end(): void;
}

const mediaTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

/** A ConfigMap to send. */
export function configMap(name: string, extra: object = {}): Json {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: '1' }, ...extra };
}

/** A pod to send. It is meant for a scheduler that there is none of, so that it stays as it is. */
export function pod(name: string, spec: object = {}, metadata: object = {}): Json {
  const containers = [{ name: 'c', image: 'registry.invalid/none:1' }];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, ...metadata },
    spec: { schedulerName: 'nobody', terminationGracePeriodSeconds: 0, containers, ...spec },
  };
}

/** Fails unless an answer has a status, showing what it says. */
export function expectStatus(answer: Answer, status: number, reason?: string): Json {
  const said = JSON.stringify(answer.body)?.slice(0, 400);
  assert.equal(answer.status, status, `expected ${status}, the server answered ${answer.status}: ${said}`);
  if (reason !== undefined) {
    assert.equal(answer.body.kind, 'Status');
    assert.equal(answer.body.reason, reason, said);
    assert.equal(answer.body.code, status, said);
  }
  return answer.body;
}

/** Connects to a server. */
export function connect(connection: Connection): { agent: Agent; server: string; token?: () => string } {
  const agent = new Agent({
    connect: {
      ca: connection.ca,
      cert: connection.cert,
      key: connection.key,
      rejectUnauthorized: connection.insecure !== true,
    },
    bodyTimeout: 0,
  });
  return { agent, server: connection.server, token: connection.token };
}

/** A session in a namespace. */
export function createSession(to: ReturnType<typeof connect>, namespace: string): Session {
  const headersFor = (options: CallOptions, hasBody: boolean): Record<string, string> => {
    const token = to.token?.();
    return {
      accept: options.accept ?? 'application/json',
      'user-agent': 'contract-suite',
      ...(hasBody ? { 'content-type': options.type ?? 'application/json' } : {}),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
  };
  const call: Session['call'] = async (method, path, body, options = {}) => {
    const answer = await request(to.server + path, {
      method: method as 'GET',
      dispatcher: to.agent,
      headers: headersFor(options, body !== undefined),
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: parse(text), headers: answer.headers };
  };
  const path: Session['path'] = (plural, name) =>
    `/api/v1/namespaces/${namespace}/${plural}${name === undefined ? '' : `/${name}`}`;
  return {
    namespace,
    path,
    call,
    get: (place) => call('GET', place),
    post: (place, body) => call('POST', place, body),
    put: (place, body) => call('PUT', place, body),
    patch: (place, kind, body) => call('PATCH', place, body, { type: mediaTypes[kind] }),
    delete: (place, body) => call('DELETE', place, body),
    watch: (place) => openWatch(to, place, headersFor({}, false)),
    configMap: async (name, extra) =>
      expectStatus(await call('POST', path('configmaps'), configMap(name, extra)), 201),
    pod: async (name, spec, metadata) =>
      expectStatus(await call('POST', path('pods'), pod(name, spec, metadata)), 201),
  };
}

function parse(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function openWatch(
  to: ReturnType<typeof connect>,
  path: string,
  headers: Record<string, string>,
): Promise<WatchStream> {
  const stop = new AbortController();
  const url = `${to.server}${path}${path.includes('?') ? '&' : '?'}watch=true`;
  const answer = await request(url, { dispatcher: to.agent, headers, signal: stop.signal });
  const events = caseEvents(answer.body)[Symbol.asyncIterator]();
  return {
    status: answer.statusCode,
    next: async () => {
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(() => late.reject(new Error('no event came within 30 s')), 30_000);
      try {
        const { value, done } = await Promise.race([events.next(), late.promise]);
        return done === true ? undefined : value;
      } finally {
        clearTimeout(timer);
      }
    },
    end: () => stop.abort(),
  };
}

async function* caseEvents(body: AsyncIterable<Buffer>): AsyncGenerator<{ type: string; object: Json }> {
  for await (const line of lines(body)) {
    const event = JSON.parse(line) as { type: string; object: Json };
    if (!/^[a-z-]+ca\.crt$/.test(event.object?.metadata?.name ?? '')) yield event;
  }
}

async function* lines(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const part of body) {
      rest += part.toString();
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
        yield rest.slice(0, end);
        rest = rest.slice(end + 1);
      }
    }
    // Instead of a watch: a refusal.
    if (rest !== '') yield rest;
  } catch (error) {
    if (!(error instanceof Error && error.name === 'AbortError')) throw error;
  }
}
