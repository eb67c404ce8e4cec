/** Static pods from a URL that is asked every so often: a Pod or a PodList (kubelet-facts 1). */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { toStaticPod } from './static-pod.ts';

/** Milliseconds that an answer may take, to its last byte. */
const answerMs = 10_000;
const maxBytes = 10 * 1024 * 1024;

export interface HttpSourceDeps {
  url: string;
  /** `staticPodURLHeader`. */
  headers: Record<string, string[]>;
  nodeName: string;
  /** Decodes a Pod, or the items of a PodList. @throws SkiffError with line and field. */
  decodePods(text: string, name: string): Pod[];
  emit(pods: Pod[]): void;
  /** Milliseconds between requests: `httpCheckFrequency`. */
  everyMs: number;
  clock: Clock;
  logger: Logger;
}

/** Asks until the signal aborts. A failed request leaves the pods as they were. */
export async function runHttpSource(deps: HttpSourceDeps, signal: AbortSignal): Promise<void> {
  let last: string | undefined;
  let complaint: string | undefined;
  while (!signal.aborted) {
    try {
      const text = await inTime(deps, signal, (limit) => fetchText(deps, limit));
      if (text !== last) {
        const { url, nodeName } = deps;
        const decoded = text === '' ? [] : deps.decodePods(text, url);
        deps.emit(decoded.map((pod) => toStaticPod(pod, nodeName, { source: 'http', url })));
        last = text;
      }
      complaint = undefined;
    } catch (error) {
      const message = messageOf(error);
      if (!signal.aborted && message !== complaint) {
        deps.logger.error({ url: deps.url, error: message }, 'Cannot use the manifests of a URL');
      }
      complaint = message;
    }
    await deps.clock.sleep(deps.everyMs, signal).catch(() => {});
  }
}

/** Does `work` with a signal that aborts with the other one, and when the time for an answer is over. */
async function inTime<T>(
  { clock }: HttpSourceDeps,
  signal: AbortSignal,
  work: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  const [done, late] = [new AbortController(), new AbortController()];
  const error = new SkiffError('DEADLINE_EXCEEDED', `it did not answer within ${answerMs / 1000} s`);
  clock.sleep(answerMs, done.signal).then(
    () => late.abort(error),
    () => {},
  );
  try {
    return await work(AbortSignal.any([signal, late.signal]));
  } finally {
    done.abort();
  }
}

async function fetchText({ url, headers }: HttpSourceDeps, signal: AbortSignal): Promise<string> {
  const list = Object.entries(headers).flatMap(([name, values]) =>
    values.map((value): [string, string] => [name, value]),
  );
  const response = await fetch(url, { headers: list, signal });
  if (response.status !== 200) throw new SkiffError('UNAVAILABLE', `it answered HTTP ${response.status}`);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw new SkiffError('INVALID_ARGUMENT', `it answers more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
