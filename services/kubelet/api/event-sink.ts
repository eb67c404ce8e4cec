/**
 * Writes events to the API, in the background and in order: `eventRecordQPS` a second, `eventBurst` at once. An
 * event that was seen before is patched; when the API is away the oldest are dropped.
 */
import type { CoreEvent } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { EventSink } from '../events/recorder.ts';
import type { KubeletApi } from '../ports.ts';

const maxQueued = 1000;
const tries = 12;
const retryMs = 10_000;

export interface EventSinkDeps {
  api: Pick<KubeletApi, 'request'>;
  clock: Clock;
  logger: Logger;
  /** Events a second; 0 for no limit. */
  qps: number;
  burst: number;
}

/** Makes a sink that writes until the signal aborts. */
export function createApiEventSink(deps: EventSinkDeps, signal: AbortSignal): EventSink {
  const queue: { event: CoreEvent; isUpdate: boolean }[] = [];
  let working = false;
  let tokens = deps.burst;
  let at = deps.clock.monotonic();
  const pace = async () => {
    if (deps.qps <= 0) return;
    const now = deps.clock.monotonic();
    tokens = Math.min(deps.burst, tokens + ((now - at) * deps.qps) / 1000);
    at = now;
    tokens -= 1;
    if (tokens < 0) await deps.clock.sleep((-tokens * 1000) / deps.qps, signal);
  };
  const work = async () => {
    working = true;
    while (!signal.aborted) {
      const next = queue.shift();
      if (next === undefined) break;
      try {
        await pace();
        await write(deps, next.event, next.isUpdate, signal);
      } catch (error) {
        if (!signal.aborted) deps.logger.warn({ error: messageOf(error) }, 'Cannot write an event');
      }
    }
    working = false;
  };
  return {
    record(event, isUpdate) {
      if (queue.length >= maxQueued) queue.shift();
      queue.push({ event, isUpdate });
      if (!working) void work();
    },
  };
}

async function write(
  deps: EventSinkDeps,
  event: CoreEvent,
  isUpdate: boolean,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await writeOnce(deps, event, isUpdate, signal);
      return;
    } catch (error) {
      const passing = isSkiffError(error, 'UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED');
      if (!passing || attempt >= tries || signal.aborted) throw error;
      await deps.clock.sleep(retryMs, signal);
    }
  }
}

async function writeOnce(
  { api }: EventSinkDeps,
  event: CoreEvent,
  isUpdate: boolean,
  signal: AbortSignal,
): Promise<void> {
  const path = `/api/v1/namespaces/${event.metadata.namespace}/events`;
  const { count, lastTimestamp, message } = event;
  if (isUpdate) {
    try {
      const body = { count, lastTimestamp, message };
      await api.request({ method: 'PATCH', path: `${path}/${event.metadata.name}`, body, signal });
      return;
    } catch (error) {
      // Events expire: then it is told anew.
      if (!isSkiffError(error, 'NOT_FOUND')) throw error;
    }
  }
  await api.request({ method: 'POST', path, body: event, signal });
}
