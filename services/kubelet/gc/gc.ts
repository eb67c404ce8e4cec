/** Garbage collection on its two beats: containers every minute, images every five, as the original. */
import type { Repeating } from '#foundation/base/repeat.ts';
import { repeat } from '#foundation/base/repeat.ts';
import type { EventRecorder } from '../ports.ts';
import { type ContainerGcDeps, collectContainers } from './containers.ts';
import type { ImageCollector } from './images.ts';

const containerPauseMs = 60_000;
const imagePauseMs = 5 * 60_000;

/** What the collection needs. */
export interface GcDeps extends ContainerGcDeps {
  images: ImageCollector;
  clock: Parameters<typeof repeat>[0]['clock'];
  events: Pick<EventRecorder, 'node'>;
}

/** Starts collecting. */
export function startGarbageCollection(deps: GcDeps): Repeating {
  const failed = (what: string, reason: string) => (error: unknown) => {
    deps.log.warn({ err: error }, `cannot collect ${what}`);
    deps.events.node('Warning', reason, error instanceof Error ? error.message : String(error));
  };
  const containers = repeat({
    clock: deps.clock,
    pauseMs: () => containerPauseMs,
    delayMs: containerPauseMs,
    round: (signal) => collectContainers(deps, {}, signal),
    onError: failed('containers', 'ContainerGCFailed'),
  });
  const images = repeat({
    clock: deps.clock,
    pauseMs: () => imagePauseMs,
    delayMs: imagePauseMs,
    round: (signal) => deps.images.collect(signal),
    onError: failed('images', 'ImageGCFailed'),
  });
  return { stop: async () => void (await Promise.all([containers.stop(), images.stop()])) };
}
