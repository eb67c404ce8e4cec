/** Keeps the latest of what a guest writes to its console: a guest that floods it must not fill the disk. */
import { appendFileSync, readFileSync, renameSync, statSync } from 'node:fs';
import { connect } from 'node:net';

/** Bytes after which the file becomes the old one, and a new one begins. Both together are what is kept. */
const fileBytes = 64 * 1024;

/** A console that is being read. */
export interface Console {
  /** Stops reading; what is there stays. */
  close(): void;
}

/**
 * Reads the console's socket into the file at `path` (the one before is `path`.old). Reading goes on until the VM
 * ends; what comes while nobody reads is lost, which holds up no guest. `listen` hears it too.
 */
export function keepConsole(socketPath: string, path: string, listen?: (text: string) => void): Console {
  let size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const socket = connect(socketPath);
  socket.on('error', () => {}); // The VM has ended.
  socket.on('data', (chunk: Buffer) => {
    listen?.(chunk.toString('latin1'));
    try {
      if (size + chunk.length > fileBytes && size > 0) {
        renameSync(path, `${path}.old`);
        size = 0;
      }
      appendFileSync(path, chunk.subarray(-fileBytes), { mode: 0o600 });
      size += Math.min(chunk.length, fileBytes);
    } catch {
      // A full disk, or the directory was removed under it: the VM goes on without.
    }
  });
  socket.unref();
  return { close: () => void socket.destroy() };
}

/** The last `count` bytes that were kept, without control characters but line ends; empty if there are none. */
export function readConsole(path: string, count: number): string {
  const read = (file: string) => {
    try {
      return readFileSync(file, 'latin1');
    } catch {
      return '';
    }
  };
  const current = read(path);
  const text = current.length < count ? read(`${path}.old`) + current : current;
  return text.slice(-count).replace(/[^\n\x20-\x7e]/g, '');
}
