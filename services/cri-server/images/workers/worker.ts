/** The entry of a worker thread: takes jobs one by one, blocks while it does them, answers each. */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { wrapError } from '#foundation/base/errors.ts';
import { createScratch } from '../unpack/scratch.ts';
import { createJobs } from './jobs.ts';
import type { Answer, Order } from './pool.ts';

const table = createJobs(createScratch()) as unknown as Record<string, (input: unknown) => unknown>;

/** A little less than the rest: the loop of the node is served first when processors are scarce. */
const niceness = 1;
// On Linux this is the priority of this thread alone, and 0 means the caller: setpriority(2), "C library/kernel differences".
setPriority(0, niceness);

parentPort?.on('message', ({ name, input }: Order) => {
  parentPort?.postMessage(answer(name, input));
});

parentPort?.postMessage('loaded');

function answer(name: string, input: unknown): Answer {
  try {
    return { value: table[name]?.(input) };
  } catch (error) {
    // Errors lose their class on the way between threads.
    const { code, message, errno } = wrapError(error, 'x');
    return { failure: { code, message: message.slice('x: '.length), errno } };
  }
}
