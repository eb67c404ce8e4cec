/** ExecSync: a command in a running container, its output in memory, with a deadline that kills all of it. */
import { closeSync } from 'node:fs';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { longestTimerMs } from '#foundation/base/time.ts';
import { outputPipe } from '#foundation/linux/spawn-command.ts';
import type { Core } from './deps.ts';
import { startExec } from './exec-start.ts';

/** Bytes that are kept of each output: one gRPC message of the kubelet's. What is beyond is dropped. */
export const maxOutputBytes = 16 * 1024 * 1024;
/** Milliseconds that a silent child which holds the pipes open after the command's end is waited for. */
const drainMs = 500;

/** What a command answered. */
export interface ExecSyncResult {
  exitCode: number;
  stdout: Buffer;
  stderr: Buffer;
}

/**
 * Runs a command.
 *
 * @param timeoutSeconds 0 for none.
 * @throws SkiffError DEADLINE_EXCEEDED after the command and its children have been killed.
 */
export async function execSync(
  core: Core,
  request: { containerId: string; command: readonly string[]; timeoutSeconds: bigint },
  signal: AbortSignal,
): Promise<ExecSyncResult> {
  const { containerId, command } = request;
  try {
    if (request.timeoutSeconds < 0n) throw new SkiffError('INVALID_ARGUMENT', 'the timeout is below 0');
    return await run(core, containerId, command, Number(request.timeoutSeconds) * 1000, signal);
  } catch (error) {
    throw wrapError(error, `Cannot run ${JSON.stringify(command[0] ?? '')} in container "${containerId}"`);
  }
}

async function run(
  core: Core,
  containerId: string,
  command: readonly string[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ExecSyncResult> {
  const [stdout, stderr] = [outputPipe(maxOutputBytes), outputPipe(maxOutputBytes)];
  let timer: NodeJS.Timeout | undefined;
  try {
    const exec = await startExec(
      core,
      { containerId, command, tty: false },
      { 1: stdout.writeFd, 2: stderr.writeFd },
    ).finally(() => {
      closeSync(stdout.writeFd);
      closeSync(stderr.writeFd);
    });
    let failure: SkiffError | undefined;
    const end = (error: SkiffError) => {
      failure ??= error;
      void exec.killTree();
    };
    const cancel = () => end(new SkiffError('CANCELLED', 'the client cancelled the call'));
    const late = () =>
      end(new SkiffError('DEADLINE_EXCEEDED', `it took longer than ${timeoutMs / 1000} s and was killed`));
    if (timeoutMs > 0) timer = setTimeout(late, Math.min(timeoutMs, longestTimerMs));
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    const ended = await Promise.allSettled([exec.exited]);
    signal.removeEventListener('abort', cancel);
    // The command is dead by now, whatever ended it.
    if (failure !== undefined) throw failure;
    if (ended[0].status === 'rejected') throw ended[0].reason;
    const [out, errors] = await Promise.all([stdout.untilIdle(drainMs), stderr.untilIdle(drainMs)]);
    return { exitCode: ended[0].value.code, stdout: out, stderr: errors };
  } finally {
    clearTimeout(timer);
    stdout.close();
    stderr.close();
  }
}
