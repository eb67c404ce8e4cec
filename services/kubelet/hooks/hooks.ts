/** Lifecycle hooks (core/v1 Lifecycle): what runs in or against a container just after its start and before its stop. */
import type { CriClient } from '#contracts/cri/client.ts';
import type { LifecycleHandler } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { HookRunner, HookTarget } from '../ports.ts';
import { httpTarget, portNumber } from '../probes/handlers.ts';
import { headersOf, lifecycleAgent, urlOf } from '../probes/http.ts';
import { get } from '../probes/http-get.ts';

/** What hooks need. */
export interface HooksDeps {
  cri: Pick<CriClient['runtime'], 'execSync'>;
  clock: Clock;
}

/** Makes the hook runner. */
export function createHookRunner(deps: HooksDeps): HookRunner {
  return {
    postStart: (target, signal) =>
      run(deps, 'PostStart', target.container.lifecycle?.postStart, target, signal),
    preStop: (target, signal) => run(deps, 'PreStop', target.container.lifecycle?.preStop, target, signal),
  };
}

async function run(
  deps: HooksDeps,
  name: string,
  handler: LifecycleHandler | undefined,
  target: HookTarget,
  signal: AbortSignal,
): Promise<void> {
  if (handler === undefined) return;
  if (handler.exec !== undefined) return execHook(deps, name, handler.exec.command ?? [], target, signal);
  if (handler.httpGet !== undefined) return httpHook(name, handler.httpGet, target, signal);
  if (handler.sleep !== undefined) return deps.clock.sleep(handler.sleep.seconds * 1000, signal);
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `${name} hook of container "${target.container.name}": no handler that can be run (exec, httpGet or sleep)`,
  );
}

async function execHook(
  { cri }: HooksDeps,
  name: string,
  command: string[],
  { containerId, container }: HookTarget,
  signal: AbortSignal,
): Promise<void> {
  // No timeout: the grace period ends a preStop hook, and nothing but itself a postStart hook.
  const answer = await cri.execSync({ containerId, cmd: command, timeout: 0n }, { signal });
  if (answer.exitCode === 0) return;
  const output = Buffer.concat([answer.stdout, answer.stderr])
    .subarray(0, 10 * 1024)
    .toString();
  throw new SkiffError(
    'INTERNAL',
    `Exec lifecycle hook (${command.join(' ')}) for Container "${container.name}" failed - ${name} exited with ${answer.exitCode}, message: "${output}"`,
  );
}

/** Any answer is success, whatever its status; HTTPS against a server that speaks HTTP falls back to HTTP. */
async function httpHook(
  name: string,
  action: NonNullable<LifecycleHandler['httpGet']>,
  { container, podIps }: HookTarget,
  signal: AbortSignal,
): Promise<void> {
  const target = httpTarget(action, portNumber(container, action.port), podIps[0] ?? '');
  const url = urlOf(target);
  const headers = headersOf(target.headers, lifecycleAgent);
  try {
    await get(url, headers, { signal });
  } catch (error) {
    if (url.protocol === 'https:' && speaksPlainHttp(error))
      return void (await retryPlain(url, headers, signal));
    throw new SkiffError(
      'INTERNAL',
      `HTTP lifecycle hook (${action.path ?? '/'}) for Container "${container.name}" failed - ${name}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** OpenSSL's word for an answer that is no TLS record. */
function speaksPlainHttp(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'EPROTO'].includes(String(error.code))
  );
}

/** Without Authorization: it was meant for an encrypted connection. */
async function retryPlain(
  url: URL,
  headers: Record<string, string[] | string>,
  signal: AbortSignal,
): Promise<void> {
  const plain = new URL(url);
  plain.protocol = 'http:';
  const kept = Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization');
  await get(plain, Object.fromEntries(kept), { signal });
}
