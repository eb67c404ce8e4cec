/** exec probes: a command in the container; its exit code is the answer. */
import type { CriClient } from '#contracts/cri/client.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { maxOutput, type Outcome } from './outcome.ts';

/**
 * Runs `command` by the CRI's ExecSync.
 *
 * @param timeoutSeconds after which the runtime kills it; that is a failure.
 * @throws SkiffError when the runtime could not run it: no verdict on the container.
 */
export async function probeExec(
  cri: Pick<CriClient['runtime'], 'execSync'>,
  containerId: string,
  command: string[],
  timeoutSeconds: number,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    const answer = await cri.execSync(
      { containerId, cmd: command, timeout: BigInt(timeoutSeconds) },
      // The runtime needs a moment beyond the command's own time to kill it and answer.
      { signal, timeoutMs: (timeoutSeconds + 5) * 1000 },
    );
    const output = Buffer.concat([answer.stdout, answer.stderr]).subarray(0, maxOutput).toString();
    return { result: answer.exitCode === 0 ? 'success' : 'failure', output };
  } catch (error) {
    if (!isSkiffError(error, 'DEADLINE_EXCEEDED')) throw error;
    return {
      result: 'failure',
      output: `command timed out: "${command.join(' ')}" timed out after ${timeoutSeconds}s`,
    };
  }
}
