/** The words of a failed pull or push: what the user asked for once, and then why. */
import { isSkiffError, messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { signatureValidationFailed } from './policy.ts';
import { formatReference, type Reference } from './reference.ts';
import { registryUnavailable } from './registry/errors.ts';

/** Errors that the kubelet tells by their first word: nothing may stand before it. */
const knownPrefix = new RegExp(`^(${registryUnavailable}|${signatureValidationFailed})\\b`);

/**
 * Wraps what a pull or push threw in the name that was asked for. The registry client says what it did too, since it
 * does not know who asked: that is left out where it says the same again.
 *
 * @param name as the user wrote it.
 * @param reference what it stood for.
 */
export function transferFailure(
  error: unknown,
  verb: 'pull' | 'push',
  name: string,
  reference: Reference,
): SkiffError {
  const message = messageOf(error);
  if (isSkiffError(error) && knownPrefix.test(message)) return error;
  const what = `Cannot ${verb} "${name}"`;
  if (!isSkiffError(error)) return wrapError(error, what);
  const same = `Cannot ${verb} ${formatReference(reference)}: `;
  const rest = message.startsWith(same)
    ? message.slice(same.length)
    : message.replace(/^Cannot (?:pull|push|look for) (?=(?:blob|manifest) )/, '');
  return new SkiffError(error.code, `${what}: ${rest}`, { cause: error, errno: error.errno });
}

/**
 * A failed pull or push for people, who need no prefix for the kubelet: an unreachable registry is UNAVAILABLE.
 */
export function forPeople(error: unknown): unknown {
  const message = messageOf(error);
  const prefix = knownPrefix.exec(message)?.[0];
  if (!isSkiffError(error, 'UNKNOWN', 'PERMISSION_DENIED') || !message.startsWith(`${prefix}: c`))
    return error;
  const code = prefix === registryUnavailable ? 'UNAVAILABLE' : error.code;
  return new SkiffError(code, `C${message.slice(`${prefix}: c`.length)}`, { cause: error });
}
