/** Shows a pull or push on standard error: bars on a terminal, else a line for each thing that is done. */
import type { Context } from '../context.ts';
import { liveBlock } from './live.ts';

/** Shows lines in place of the last ones. */
export interface TransferScreen {
  /**
   * @param lines what to show in so many rows of a terminal.
   * @param steps what to tell elsewhere; each line once.
   */
  show(lines: (rows: number) => readonly string[], steps: () => readonly string[]): void;
  /** Leaves the last lines on the screen. */
  end(): void;
}

/** Makes a screen. */
export function transferScreen({ err, width }: Context): TransferScreen {
  const { isTTY = false, columns, rows } = process.stderr;
  const interactive = isTTY;
  const height = rows || 24; // 0 where the terminal does not say.
  const block = liveBlock({ out: err, interactive, width: columns || width, height });
  return {
    show: (lines, steps) => block.show(interactive ? lines(height - 1) : steps()),
    end: () => block.end(),
  };
}
