/** Callers that leave: by signal, by deadline, or by destroying the stream. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import type { FaultCase, Scene } from '../case.ts';
import { readAll } from '../sample.ts';
import { drip, onBlob, ranges } from './blobs.ts';

export const cancellationFaults: FaultCase[] = [
  {
    name: 'the reader leaves in the middle',
    fault: onBlob(drip),
    does: async ({ client, reference, registry: { image } }) => {
      const stream = await client.openBlob(reference, image.layer);
      stream.destroy();
      await sleep(400);
    },
    after: (scene) => assert.equal(ranges(scene).length, 1, 'nothing is taken up again'),
  },
  {
    name: 'the caller cancels in the middle of a transfer',
    fault: onBlob(drip),
    does: (scene) => readUntil(scene, AbortSignal.abort, 50),
    fails: { code: 'CANCELLED', says: /it was cancelled/ },
  },
  {
    name: 'the deadline comes in the middle of a transfer',
    fault: onBlob(drip),
    does: (scene) => readUntil(scene, () => AbortSignal.timeout(0), 50),
    fails: { code: 'DEADLINE_EXCEEDED', says: /the deadline is over/ },
  },
  {
    name: 'the caller has cancelled before',
    does: ({ client, reference }) => client.resolve(reference, { signal: AbortSignal.abort() }),
    fails: { code: 'CANCELLED', says: /it was cancelled/ },
    after: ({ registry }) => assert.equal(registry.hits.length, 0),
  },
  {
    name: 'the caller cancels while no headers come',
    fault: () => () => true,
    does: ({ client, reference }) => client.resolve(reference, { signal: AbortSignal.timeout(100) }),
    limits: { headersMs: 10_000 },
    fails: { code: 'DEADLINE_EXCEEDED', says: /the deadline is over/ },
  },
  {
    name: 'the caller cancels between two attempts',
    fault:
      () =>
      ({ response }) => {
        response.writeHead(503, { 'retry-after': '1' }).end();
        return true;
      },
    does: ({ client, reference }) => client.resolve(reference, { signal: AbortSignal.timeout(100) }),
    fails: { code: 'DEADLINE_EXCEEDED', says: /the deadline is over/ },
  },
];

/** Reads, and after some milliseconds the signal that `make` makes is passed on. */
async function readUntil(
  { client, reference, registry }: Scene,
  make: () => AbortSignal,
  ms: number,
): Promise<void> {
  const controller = new AbortController();
  const abort = () => {
    const source = make();
    if (source.aborted) controller.abort(source.reason);
    else source.addEventListener('abort', () => controller.abort(source.reason), { once: true });
  };
  const { signal } = controller;
  const stream = await client.openBlob(reference, registry.image.layer, { signal });
  setTimeout(abort, ms);
  await readAll(stream).catch((error: unknown) => {
    assert.ok(isSkiffError(error));
    throw error;
  });
}
