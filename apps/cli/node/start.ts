/** Starts the node in the background when none runs, and ends it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import { readTail } from '#foundation/base/files.ts';
import { startDaemon } from '#foundation/linux/daemon.ts';
import { isRunning } from '#foundation/linux/process.ts';
import type { Context } from '../context.ts';
import { type NodeInfo, readKilledNode, readNodeInfo, type StartedBy } from './info.ts';

/** Milliseconds a node may take to be ready, and to end. */
const startDeadlineMs = 60_000;
const stopDeadlineMs = 60_000;
const pollMs = 20;

/** The log of a node that `up` started. */
function nodeLogFile(context: Context): string {
  return context.paths.root === '/' ? '/var/log/skiff-node.log' : join(context.paths.root, 'log', 'node.log');
}

/**
 * Returns the node that runs here, after starting one if there is none.
 *
 * @throws SkiffError UNAVAILABLE with the end of its log if it does not get ready.
 */
export async function ensureNode(context: Context): Promise<NodeInfo> {
  const running = readNodeInfo(context.paths);
  if (running !== undefined) return running;
  // One that a person started and that was killed is the person's again.
  const startedBy: StartedBy = readKilledNode(context.paths)?.startedBy ?? 'up';
  const logFile = nodeLogFile(context);
  mkdirSync(join(logFile, '..'), { recursive: true });
  const [script = ''] = process.argv.slice(1);
  const args = [...process.execArgv, script, '--root', context.paths.root, 'node', '--started-by', startedBy];
  const daemon = await startDaemon({ file: process.execPath, args, logFile });
  let exitCode: number | undefined;
  void daemon.ended.then((code) => {
    exitCode = code;
  });
  const deadline = performance.now() + startDeadlineMs;
  while (performance.now() < deadline) {
    context.interrupted.throwIfAborted();
    const info = readNodeInfo(context.paths);
    if (info !== undefined) return info;
    if (exitCode !== undefined) break;
    await sleep(pollMs);
  }
  const tail = (await readTail(logFile, 2000)).toString().trim().split('\n').slice(-5).join('\n');
  const what =
    exitCode === undefined
      ? `is not ready after ${startDeadlineMs / 1000} s`
      : `ended with exit code ${exitCode}`;
  throw new SkiffError('UNAVAILABLE', `the node ${what}; the end of ${logFile}:\n${tail}`);
}

/** Ends a node (SIGTERM) and waits for it. @throws SkiffError DEADLINE_EXCEEDED if it does not end. */
export async function stopNode(info: NodeInfo): Promise<void> {
  process.kill(info.process.pid, 'SIGTERM');
  const deadline = performance.now() + stopDeadlineMs;
  while (isRunning(info.process)) {
    if (performance.now() > deadline) {
      throw new SkiffError(
        'DEADLINE_EXCEEDED',
        `the node (process ${info.process.pid}) did not end within ${stopDeadlineMs / 1000} s`,
      );
    }
    await sleep(pollMs);
  }
}
