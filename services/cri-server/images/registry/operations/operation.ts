/** What every operation of the client has in common: its hosts, asked one after another, and its credentials. */
import { join } from 'node:path';
import { firstCause, isSkiffError, SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { Reference } from '../../reference.ts';
import { anonymous, type Credentials, fromRequest } from '../auth/credentials.ts';
import { fromDockerConfigs } from '../auth/docker-config.ts';
import { statusError, throwIfAborted } from '../errors.ts';
import { findHosts } from '../hosts/find.ts';
import { type Capability, type RegistryHost, repositoryAt } from '../hosts/host.ts';
import type { MirrorRests } from '../hosts/rests.ts';
import { readErrorText } from '../http/body.ts';
import type { Answer, Exchange, Question } from '../http/exchange.ts';
import { type Attempt, isRetryableStatus, retryAfterMs, withRetries } from '../http/retry.ts';
import type { CallOptions, Limits } from '../types.ts';

/** What operations work with. */
export interface OperationDeps {
  exchange: Exchange;
  clock: Clock;
  limits: Limits;
  certsDirs: readonly string[];
  dockerConfigs: readonly string[];
  namespaceConfigs?: string;
  rests: MirrorRests;
}

/** One call of the client. */
export interface Operation {
  deps: OperationDeps;
  reference: Reference;
  options: CallOptions;
  /** For messages: `pull docker.io/library/nginx:latest`. */
  what: string;
}

/** A host, with what a question to it needs. */
export interface Place {
  host: RegistryHost;
  /** The repository's name there. */
  repository: string;
  credentials: Credentials;
  /** How often a request may be tried here: mirrors are left at the first failure. */
  attempts: number;
}

/**
 * Asks the hosts that can do it, one after another, until `work` succeeds at one.
 *
 * @throws the registry's own error (the last host's), with what the mirrors said; CANCELLED at once.
 */
export async function overHosts<T>(
  operation: Operation,
  capability: Capability,
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const { deps, reference, options, what } = operation;
  throwIfAborted(what, options.signal);
  const all = await told(what, findHosts(deps.certsDirs, reference.domain));
  const hosts = deps.rests.awake(all.filter((host) => host.capabilities.has(capability)));
  const failures: { host: string; error: unknown }[] = [];
  for (const [index, host] of hosts.entries()) {
    try {
      const attempts = index === hosts.length - 1 ? deps.limits.attempts : 1;
      return await work(await told(what, placeAt(operation, host, attempts)));
    } catch (error) {
      throwIfAborted(what, options.signal);
      failures.push({ host: host.address, error: firstCause(error) });
      if (isSkiffError(error, 'UNKNOWN')) deps.rests.rest(host);
    }
  }
  throw hosts.length === 0 ? noHost(what, reference.domain, capability) : summary(failures);
}

/** Adds to a failure of the configuration what could not be done for it. */
async function told<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw wrapError(error, `Cannot ${what}`);
  }
}

async function placeAt(
  { deps, reference, options }: Operation,
  host: RegistryHost,
  attempts: number,
): Promise<Place> {
  // Credentials without an address are for the image's registry; a mirror stands in for it by the
  // administrator's will, so it gets them too, as in containerd.
  const asked = fromRequest(options.auth, host.mirror ? host.address : reference.domain);
  const found =
    asked ??
    (await fromDockerConfigs(
      configsFor(deps, options.namespace),
      host.mirror ? host.address : reference.domain,
      reference.path,
      options.signal,
    ));
  return { host, attempts, repository: repositoryAt(host, reference.path), credentials: found ?? anonymous };
}

/** The files that may hold credentials for a namespace. Its name becomes a path, so only a real one counts. */
function configsFor({ dockerConfigs, namespaceConfigs }: OperationDeps, namespace = ''): readonly string[] {
  const isNamespace = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace);
  if (namespaceConfigs === undefined || !isNamespace) return dockerConfigs;
  return [join(namespaceConfigs, `${namespace}.json`), ...dockerConfigs];
}

function noHost(what: string, domain: string, capability: Capability): SkiffError {
  return new SkiffError(
    'FAILED_PRECONDITION',
    `Cannot ${what}: no host that hosts.toml names for ${domain} has the capability "${capability}"`,
  );
}

/** The last host is the registry itself, so its error counts; the mirrors' are told with it. */
function summary(failures: readonly { host: string; error: unknown }[]): unknown {
  const last = failures.at(-1)?.error;
  const mirrors = failures.slice(0, -1);
  if (mirrors.length === 0 || !isSkiffError(last)) return last;
  const told = mirrors.map(({ host, error }) => `mirror ${host}: ${shortMessage(error)}`);
  return new SkiffError(last.code, `${last.message} [before that, ${told.join('; ')}]`, { cause: last });
}

function shortMessage(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  // What was being done stands in the main message already.
  return message.replace(/^(RegistryUnavailable: c|C)annot [^:]*(?::[^ ][^:]*)*: /, '').slice(0, 200);
}

/** What a question needs beside its place. */
export type Ask = Pick<Question, 'method' | 'target' | 'headers' | 'body' | 'allowDowngrade'> & {
  /** `pull` or `pull,push`. */
  actions: 'pull' | 'pull,push';
  /** Other repositories that are read from. */
  readAlso?: readonly string[];
};

/**
 * Asks a place until it gives an answer that will not change: any status but those of `isRetryableStatus`.
 *
 * @param use takes the answer; a `retry` of it counts as a failed attempt.
 * @throws SkiffError when the attempts are used up, as the last one failed.
 */
export function askPlace<T>(
  operation: Operation,
  place: Place,
  ask: Ask,
  use: (answer: Answer) => Promise<Attempt<T>>,
): Promise<T> {
  const { deps, what, options } = operation;
  const { clock, limits } = deps;
  const policy = { what, clock, limits, attempts: place.attempts, signal: options.signal };
  return withRetries(policy, async () => {
    const answer = await askOnce(operation, place, ask);
    if ('error' in answer) {
      if (!answer.retryable) throw answer.error;
      return { retry: answer.error };
    }
    if (!isRetryableStatus(answer.status)) return use(answer);
    const error = await failedAnswer(what, answer);
    return { retry: error, afterMs: retryAfterMs(answer.headers, clock) };
  });
}

/** Asks a place once. */
export function askOnce(
  { deps, what, options, reference }: Operation,
  place: Place,
  ask: Ask,
): ReturnType<Exchange['ask']> {
  const scopes = [
    `repository:${place.repository}:${ask.actions}`,
    ...(ask.readAlso ?? []).map((repository) => `repository:${repository}:pull`),
  ];
  const { host, credentials } = place;
  const target = withNamespace(ask.target, host, reference.domain);
  const { method, headers, body, allowDowngrade } = ask;
  const { signal } = options;
  return deps.exchange.ask({
    what,
    host,
    method,
    target,
    headers,
    body,
    scopes,
    credentials,
    signal,
    allowDowngrade,
  });
}

/** Mirrors of several registries tell them apart by containerd's `ns` parameter. */
function withNamespace(target: string | URL, host: RegistryHost, domain: string): string | URL {
  if (typeof target !== 'string' || !host.mirror) return target;
  return `${target}${target.includes('?') ? '&' : '?'}ns=${encodeURIComponent(domain)}`;
}

/** The error behind an answer that is not what was hoped for; reads the body. */
export async function failedAnswer(what: string, answer: Answer): Promise<SkiffError> {
  const text = await readErrorText(answer.body);
  const { status, headers, authorized, url } = answer;
  return statusError(what, { status, headers, text, from: url.host, authorized });
}
