/** The thread of the API, for tests: it fails as soon as there is a file `die` in the API's directory, and takes that away. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { workerData } from 'node:worker_threads';
import type { ThreadOrder } from '../thread/messages.ts';

await import('../thread/worker.ts');
const order = join((workerData as ThreadOrder).config.directory, 'die');
setInterval(() => {
  try {
    rmSync(order);
  } catch {
    return;
  }
  throw new Error('told to die');
}, 10).unref();
