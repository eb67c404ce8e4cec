/** Colours of the terminal (ECMA-48 SGR), or none. */

/** Functions that colour a text. */
export interface Styles {
  readonly enabled: boolean;
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
  /** One of six colours, chosen by `index`: for prefixes of several pods' logs. */
  nth(index: number, text: string): string;
}

const palette = [36, 33, 35, 32, 34, 31];

/** Styles that colour, or that return their text as it is. */
export function stylesFor(enabled: boolean): Styles {
  const sgr = (on: number, off: number) => (text: string) =>
    enabled ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return {
    enabled,
    bold: sgr(1, 22),
    dim: sgr(2, 22),
    red: sgr(31, 39),
    green: sgr(32, 39),
    yellow: sgr(33, 39),
    cyan: sgr(36, 39),
    nth: (index, text) => sgr(palette[index % palette.length] ?? 36, 39)(text),
  };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences start with one.
const escapes = /\u001b\[[0-9;]*[A-Za-z]/g;

/** How many columns a text takes, escape sequences not counted. */
export function visibleWidth(text: string): number {
  return [...text.replace(escapes, '')].length;
}
