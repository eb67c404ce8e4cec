/** Reads command lines as runc's: `--name value`, `--name=value`, `-n value`, flags, then words. */
import { SkiffError } from '#foundation/base/errors.ts';

/** What an option is. */
export interface OptionSpec {
  /** Without dashes, longest first: `['bundle', 'b']`. */
  names: readonly string[];
  /** `flag` takes no value; `list` may come again. */
  kind: 'value' | 'flag' | 'list';
}

/** Options that were given, by their first name. */
export interface Options {
  value(name: string): string | undefined;
  flag(name: string): boolean;
  list(name: string): readonly string[];
  /** A whole number. @throws SkiffError INVALID_ARGUMENT */
  number(name: string): number | undefined;
}

/** What was read. */
export interface Parsed {
  options: Options;
  /** What comes after the options, or all that is no option. */
  words: string[];
}

/**
 * Reads arguments.
 *
 * @param mixed whether options may follow words; else the first word ends them.
 * @throws SkiffError INVALID_ARGUMENT for an option that there is none of.
 */
export function parseArguments(
  args: readonly string[],
  specs: readonly OptionSpec[],
  mixed: boolean,
): Parsed {
  const values = new Map<string, string[]>();
  const words: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at] ?? '';
    if (argument === '--') {
      words.push(...args.slice(at + 1));
      break;
    }
    if (!argument.startsWith('-') || argument === '-') {
      words.push(...(mixed ? [argument] : args.slice(at)));
      if (mixed) continue;
      break;
    }
    const [, name = '', inline] = /^--?([^=]+)(?:=([\s\S]*))?$/.exec(argument) ?? [];
    const spec = specs.find(({ names }) => names.includes(name));
    if (spec === undefined) throw usage(`flag provided but not defined: ${argument}`);
    const key = spec.names[0] ?? '';
    const separate = spec.kind !== 'flag' && inline === undefined;
    if (separate) at += 1;
    const value = separate ? args[at] : (inline ?? 'true');
    if (value === undefined) throw usage(`flag needs an argument: ${argument}`);
    values.set(key, spec.kind === 'list' ? [...(values.get(key) ?? []), value] : [value]);
  }
  return { options: optionsOf(values), words };
}

function optionsOf(values: ReadonlyMap<string, readonly string[]>): Options {
  const value = (name: string) => values.get(name)?.at(-1);
  return {
    value,
    flag: (name) => value(name) === 'true' || value(name) === '1',
    list: (name) => values.get(name) ?? [],
    number(name) {
      const text = value(name);
      if (text === undefined) return undefined;
      if (!/^-?\d+$/.test(text)) throw usage(`invalid value "${text}" for flag -${name}: it is not a number`);
      return Number(text);
    },
  };
}

/** An error of usage. */
export function usage(why: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', why);
}

/** Options without values. */
export function flags(...names: string[]): OptionSpec[] {
  return names.map((name) => ({ names: name.split(','), kind: 'flag' }));
}

/** Options with values. */
export function values(...names: string[]): OptionSpec[] {
  return names.map((name) => ({ names: name.split(','), kind: 'value' }));
}

/** Options that may come more than once. */
export function lists(...names: string[]): OptionSpec[] {
  return names.map((name) => ({ names: name.split(','), kind: 'list' }));
}

/** The only word. @throws SkiffError INVALID_ARGUMENT */
export function oneWord(words: readonly string[], what: string): string {
  const [word] = words;
  if (word === undefined || words.length !== 1) throw usage(`"${what}" is needed, and nothing else`);
  return word;
}
