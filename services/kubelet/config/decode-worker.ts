/**
 * Decodes a large manifest in a thread of its own: megabytes of YAML take seconds, in which no probe would be made and
 * no container restarted. What it takes up goes with the thread.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { type ErrorCode, messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { decodePod } from './decode.ts';

/** Milliseconds that a manifest may take; 10 MiB of the worst kind need about 30 s of a busy machine. */
const defaultLimitMs = 120_000;

/** Megabytes of heap: a file of 10 MiB becomes some hundred megabytes of syntax tree. */
const resourceLimits = { maxOldGenerationSizeMb: 2048 };

interface Order {
  manifest: string;
  name: string;
}

type Answer = { pod: Pod } | { code: ErrorCode; message: string };

/**
 * Does what `decodePod` does, elsewhere.
 *
 * @throws SkiffError as `decodePod`; RESOURCE_EXHAUSTED when it takes too long or too much memory.
 */
export async function decodeElsewhere(
  manifest: string,
  name: string,
  limitMs = defaultLimitMs,
): Promise<Pod> {
  const order: Order = { manifest, name };
  const worker = new Worker(new URL(import.meta.url), { workerData: order, resourceLimits });
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const tooMuch = (why: string) => new SkiffError('RESOURCE_EXHAUSTED', `${name}: ${why}`);
  const timer = setTimeout(() => reject(tooMuch(`not decoded within ${limitMs} ms`)), limitMs);
  worker.once('message', resolve);
  worker.once('error', (error) => reject(tooMuch(`decoding failed: ${messageOf(error)}`)));
  worker.once('exit', () => reject(tooMuch('its decoding ended without an answer')));
  worker.unref();
  try {
    const answer = await promise;
    if ('pod' in answer) return answer.pod;
    throw new SkiffError(answer.code, answer.message);
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

function answerTo({ manifest, name }: Order): Answer {
  try {
    return { pod: decodePod(manifest, name) };
  } catch (error) {
    const { code, message } = wrapError(error, 'Cannot decode');
    return { code, message: error instanceof SkiffError ? error.message : message };
  }
}

if (!isMainThread) parentPort?.postMessage(answerTo(workerData as Order));
