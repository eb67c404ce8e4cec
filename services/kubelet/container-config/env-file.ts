/**
 * Files of environment variables (core/v1 FileKeySelector, KEP-3721): lines `NAME='value'`. The value stands in
 * single quotes, may span lines, and nothing in it is special.
 */
import { SkiffError } from '#foundation/base/errors.ts';

/** Bytes of a file that are accepted; more is refused, for a container could write without end. */
export const maxEnvFileBytes = 64 * 1024;

/**
 * Parses an environment file.
 *
 * @throws SkiffError INVALID_ARGUMENT with the line number of what is not `NAME='value'`.
 */
export function parseEnvFile(text: string): Map<string, string> {
  const variables = new Map<string, string>();
  let line = 1;
  let rest = text;
  while (rest !== '') {
    const blank = /^[^\S\n]*(?:#[^\n]*)?(?:\r?\n|$)/.exec(rest);
    const found = /^[^\S\n]*([^\s=#']+)[^\S\n]*=[^\S\n]*'([^']*)'[^\S\n]*(?:#[^\n]*)?(?:\r?\n|$)/.exec(rest);
    const match = blank ?? found;
    if (match === null || match[0] === '') {
      throw new SkiffError('INVALID_ARGUMENT', `line ${line} of the environment file is not NAME='value'`);
    }
    if (blank === null && found !== null) variables.set(found[1] ?? '', found[2] ?? '');
    line += match[0].split('\n').length - 1;
    rest = rest.slice(match[0].length);
  }
  return variables;
}
