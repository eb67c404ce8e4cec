/**
 * A block of lines that is drawn again in place: on a terminal with cursor movements, elsewhere as plain
 * lines, each printed once when it changes.
 */
import type { Writable } from 'node:stream';
import { visibleWidth } from './styles.ts';

/** A block that shows the newest lines it was given. */
export interface LiveBlock {
  /** Shows these lines instead of the last ones. */
  show(lines: readonly string[]): void;
  /** Prints a line above the block, for good. */
  print(line: string): void;
  /** Leaves the last lines on the screen and stops drawing. */
  end(): void;
}

/** Where and how to draw. */
export interface LiveOptions {
  out: Writable;
  interactive: boolean;
  /** Columns; longer lines are cut so that the cursor arithmetic holds. */
  width: number;
  /** Rows; of more lines only the first are shown, since the cursor cannot go above the screen. 24 unless told. */
  height?: number;
}

/** Makes a block that shows nothing yet. */
export function liveBlock(options: LiveOptions): LiveBlock {
  return options.interactive ? terminalBlock(options) : plainBlock(options);
}

function terminalBlock({ out, width, height = 24 }: LiveOptions): LiveBlock {
  let shown: string[] = [];
  const erase = () => (shown.length === 0 ? '' : `\u001b[${shown.length}F\u001b[J`);
  const draw = (above: string) => {
    out.write(`${erase()}${above}${shown.map((line) => `${line}\n`).join('')}`);
  };
  return {
    show(lines) {
      const next = lines.slice(0, height - 1).map((line) => clip(line, width));
      if (next.join('\n') === shown.join('\n')) return;
      const before = erase();
      shown = next;
      out.write(`${before}${shown.map((line) => `${line}\n`).join('')}`);
    },
    print: (line) => draw(`${line}\n`),
    end() {
      shown = [];
    },
  };
}

/** Cuts a line to the terminal's width; one with colours that is too long loses them. */
function clip(line: string, width: number): string {
  if (visibleWidth(line) < width) return line;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences start with one.
  return line.replace(/\u001b\[[0-9;]*m/g, '').slice(0, width - 1);
}

function plainBlock({ out }: LiveOptions): LiveBlock {
  let printed = new Set<string>();
  return {
    show(lines) {
      for (const line of lines) if (!printed.has(line)) out.write(`${line}\n`);
      printed = new Set(lines);
    },
    print: (line) => void out.write(`${line}\n`),
    end() {
      printed.clear();
    },
  };
}
