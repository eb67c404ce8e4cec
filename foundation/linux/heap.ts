/** The memory that the C library keeps for later. */
import { declareSlow } from './libc.ts';

const mallocTrim = declareSlow('int malloc_trim(size_t pad)');

/**
 * Gives memory that was freed back to the kernel: malloc_trim(3). The C library keeps what it once got, in an arena
 * for each thread, so that a process stays as large as its busiest moment was.
 */
export async function trimHeap(): Promise<void> {
  await mallocTrim(0);
}
