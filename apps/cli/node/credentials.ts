/** Registry credentials as they stand on a command line. */
import { SkiffError } from '#foundation/base/errors.ts';

/** Splits `USER:PASSWORD` at the first colon. @throws SkiffError INVALID_ARGUMENT */
export function parseCredentials(text: string): { username: string; password: string } {
  const colon = text.indexOf(':');
  if (colon <= 0) throw new SkiffError('INVALID_ARGUMENT', '--creds wants USER:PASSWORD');
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
