/** The terminal this process runs in: raw mode and its size. */
import { on } from 'node:events';

/** The local terminal; disposing it puts it back as it was. */
export interface LocalTerminal extends Disposable {
  /** Its size now and at each change, in character cells; nothing without a terminal. */
  sizes(): AsyncIterable<{ width: number; height: number }>;
}

/**
 * Takes the terminal.
 *
 * @param raw pass keys on as they come (Ctrl-C too), if there is a terminal.
 */
export function localTerminal({ raw }: { raw: boolean }): LocalTerminal {
  const useRaw = raw && process.stdin.isTTY === true;
  if (useRaw) process.stdin.setRawMode(true);
  const ended = new AbortController();
  return {
    async *sizes() {
      if (process.stdout.isTTY !== true) return;
      const size = () => ({ width: process.stdout.columns, height: process.stdout.rows });
      yield size();
      try {
        for await (const _ of on(process.stdout, 'resize', { signal: ended.signal })) yield size();
      } catch (error) {
        if (!ended.signal.aborted) throw error;
      }
    },
    [Symbol.dispose]() {
      ended.abort();
      if (useRaw) process.stdin.setRawMode(false);
    },
  };
}
