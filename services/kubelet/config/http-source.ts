/** Static pods from a URL that is asked every so often: a Pod or a PodList (kubelet-facts 1). */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { toStaticPod } from './static-pod.ts';

const timeoutMs = 10_000;
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
      const text = await fetchText(deps, signal);
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

async function fetchText({ url, headers }: HttpSourceDeps, signal: AbortSignal): Promise<string> {
  const list = Object.entries(headers).flatMap(([name, values]) =>
    values.map((value): [string, string] => [name, value]),
  );
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const response = await fetch(url, { headers: list, signal: limit });
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
