/**
 * What keeps the objects right by itself. A controller watches resources and, after each change and now and then,
 * runs one pass over what there is: passes never overlap, and one that fails is tried again.
 */
import { isSkiffError } from '#foundation/base/errors.ts';
import type { Change } from '../storage/history.ts';
import type { ApiDeps } from '../verbs/deps.ts';

/** One controller. */
export interface Controller {
  name: string;
  /** The resources whose changes call for a pass. */
  watches: readonly string[];
  /** Whether a change calls for a pass; every one does unless told. */
  concerns?(resource: string, change: Change): boolean;
  /** Milliseconds between passes without a change; left out for none. */
  periodMs?: number;
  /** Looks at everything and puts right what is wrong. Doing it again must be harmless. */
  pass(): Promise<void>;
}

/** Milliseconds until a failed pass is tried again. */
const retryMs = 1_000;

/** Runs controllers until `signal` aborts; resolves when none runs any more. */
export async function runControllers(
  deps: Pick<ApiDeps, 'store' | 'logger'>,
  controllers: readonly Controller[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(controllers.map((controller) => run(deps, controller, signal)));
}

async function run(
  { store, logger }: Pick<ApiDeps, 'store' | 'logger'>,
  controller: Controller,
  signal: AbortSignal,
): Promise<void> {
  let wake = Promise.withResolvers<void>();
  const stops = controller.watches.map((resource) =>
    store.history.subscribe(resource, (change) => {
      if (controller.concerns?.(resource, change) ?? true) wake.resolve();
    }),
  );
  const stop = () => wake.resolve();
  signal.addEventListener('abort', stop, { once: true });
  try {
    while (!signal.aborted) {
      wake = Promise.withResolvers<void>();
      let wait = controller.periodMs;
      try {
        await controller.pass();
      } catch (error) {
        // Somebody else changed the object first: the change calls for the next pass.
        if (!isSkiffError(error, 'ABORTED', 'NOT_FOUND'))
          logger.warn({ err: error, controller: controller.name }, 'a controller failed and tries again');
        wait = Math.min(wait ?? retryMs, retryMs);
      }
      const timer = wait === undefined ? undefined : setTimeout(stop, wait);
      if (!signal.aborted) await wake.promise;
      clearTimeout(timer);
    }
  } finally {
    for (const each of stops) each();
    signal.removeEventListener('abort', stop);
  }
}
