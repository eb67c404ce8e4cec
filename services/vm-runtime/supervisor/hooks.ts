/**
 * Hooks that run on the host: each gets the container's state on its standard input, and a time limit. Before the
 * start a failing one fails the container; after it, it is a line in the log.
 * https://github.com/opencontainers/runtime-spec/blob/main/config.md#posix-platform-hooks
 */
import type { Hook, RuntimeState } from '#contracts/oci/runtime.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { tryCommand } from '#foundation/linux/command.ts';

/** Milliseconds for a hook that names no limit. */
const defaultTimeoutMs = 60_000;

/** Runs hooks in order. @throws SkiffError for the first that fails. */
export async function runHooks(kind: string, hooks: readonly Hook[], state: RuntimeState): Promise<void> {
  for (const hook of hooks) await runHook(kind, hook, state);
}

/** Runs all hooks whatever they do. @param warn told of each failure. */
export async function tryHooks(
  kind: string,
  hooks: readonly Hook[],
  state: RuntimeState,
  warn: (message: string) => void,
): Promise<void> {
  for (const hook of hooks) await runHook(kind, hook, state).catch((error) => warn(messageOf(error)));
}

async function runHook(kind: string, hook: Hook, state: RuntimeState): Promise<void> {
  const env = Object.fromEntries(
    (hook.env ?? []).map((entry) => {
      const at = entry.indexOf('=');
      return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
  // Its args begin with its own name, as with execv(3).
  const result = await tryCommand({
    file: hook.path,
    args: (hook.args ?? []).slice(1),
    env,
    cwd: state.bundle,
    input: JSON.stringify(state),
    timeoutMs: hook.timeout === undefined || hook.timeout <= 0 ? defaultTimeoutMs : hook.timeout * 1000,
  });
  if (result.exitCode === 0) return;
  const said = result.stderr.trim().slice(-500);
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `the ${kind} hook ${hook.path} exited with ${result.exitCode}${said === '' ? '' : `: ${said}`}`,
  );
}
