/**
 * Docker's credential helpers: `docker-credential-NAME get` reads a server address from its standard input
 * and writes `{"ServerURL","Username","Secret"}`.
 */
import { z } from 'zod';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { tryCommand } from '#foundation/linux/command.ts';
import { type Credentials, passwordOf } from './credentials.ts';

/** A helper asks a keychain or a cloud; it gets half a minute. */
const helperTimeoutMs = 30_000;

const answer = z.object({ Username: z.string(), Secret: z.string() });

/**
 * Asks a helper.
 *
 * @param name the part after `docker-credential-`.
 * @param server the address as the user wrote it in the Docker config.
 * @returns undefined if the helper has nothing for the server.
 * @throws SkiffError FAILED_PRECONDITION if the helper is missing, fails or answers nonsense.
 */
export async function askHelper(
  name: string,
  server: string,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  const what = `Cannot get credentials for ${server} from docker-credential-${name}`;
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw new SkiffError('FAILED_PRECONDITION', `${what}: no such name`);
  const { exitCode, stdout, stderr } = await runHelper(name, server, what, signal);
  const text = stdout.toString().trim();
  if (exitCode !== 0) {
    if (/credentials not found/i.test(text)) return undefined;
    const said = (text || stderr.trim()).slice(0, 300);
    throw new SkiffError('FAILED_PRECONDITION', `${what}: it exited with ${exitCode}: ${said}`);
  }
  const parsed = answer.safeParse(parseJson(text));
  if (!parsed.success)
    throw new SkiffError('FAILED_PRECONDITION', `${what}: it did not answer with Username and Secret`);
  return parsed.data.Secret === '' ? undefined : passwordOf(parsed.data.Username, parsed.data.Secret);
}

async function runHelper(name: string, server: string, what: string, signal?: AbortSignal) {
  try {
    return await tryCommand({
      file: `docker-credential-${name}`,
      args: ['get'],
      input: server,
      timeoutMs: helperTimeoutMs,
      signal,
    });
  } catch (error) {
    const wrapped = wrapError(error, what);
    // A helper that is not installed is the configuration's fault, not a missing image.
    throw wrapped.code === 'NOT_FOUND'
      ? new SkiffError('FAILED_PRECONDITION', `${wrapped.message}; install it or change the Docker config`)
      : wrapped;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
