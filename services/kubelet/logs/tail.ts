/** Finds where the last lines of a file begin, reading it from its end. */
import type { FileHandle } from 'node:fs/promises';

const blockSize = 64 * 1024;

/**
 * The offset of the `count`-th line from the end; 0 if there are fewer.
 *
 * @param count lines; 0 gives the end of the file.
 */
export async function tailOffset(file: FileHandle, count: number): Promise<number> {
  const { size } = await file.stat();
  if (count === 0) return size;
  let wanted = count;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - blockSize);
    const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    // The file's last byte ends its last line and does not begin another.
    let at = end === size ? end - start - 2 : end - start - 1;
    for (; at >= 0; at--) {
      at = buffer.lastIndexOf(0x0a, at);
      if (at < 0) break;
      wanted -= 1;
      if (wanted === 0) return start + at + 1;
    }
    end = start;
  }
  return 0;
}
