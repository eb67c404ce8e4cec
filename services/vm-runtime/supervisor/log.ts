/** The supervisor's log: lines of JSON in a file that does not grow without bound. */
import { appendFileSync, renameSync, statSync } from 'node:fs';
import type { Say } from './core.ts';

/** Bytes until the file is put aside, in place of the one before. */
const maxBytes = 512 * 1024;

/** Opens a log. What cannot be written is dropped: a full disk must not end a pod. */
export function openLog(path: string): Say {
  let bytes = sizeOf(path);
  return (message, fields = {}) => {
    const line = `${JSON.stringify({ time: new Date().toISOString(), msg: message, ...fields })}\n`;
    try {
      if (bytes > maxBytes) {
        renameSync(path, `${path}.1`);
        bytes = 0;
      }
      appendFileSync(path, line, { mode: 0o600 });
      bytes += Buffer.byteLength(line);
    } catch {
      // See above.
    }
  };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
