/** Starts Skiff's CRI server in a process of its own. */
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectCri } from '#contracts/cri/client.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { killContainersBelow } from './leftovers.ts';
import { writePeerNetwork } from './network.ts';
import { commandLines, type Peer, removeAllPods, waitReady } from './peer.ts';
import { unmountBelow } from './unmount.ts';

const serverProgram = new URL('./skiff-server.ts', import.meta.url).pathname;

/** Starts it with the same network configuration as the other peers. */
export async function startSkiff(): Promise<Peer> {
  const directory = mkdtempSync('/tmp/skiff-own-');
  chmodSync(directory, 0o711); // Pods with user namespaces pass through it as nobody.
  const network = writePeerNetwork(directory, 'skiff');
  const root = join(directory, 'root');
  mkdirSync(root);
  const { criSocket } = pathsUnder(root);
  const log = join(directory, 'skiff.log');
  const output = openSync(log, 'a');
  const child = spawn(process.execPath, [serverProgram, root, network.configDir], {
    stdio: ['ignore', output, output],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const pid = child.pid ?? 0;
  const endpoint = `unix://${criSocket}`;
  // conmon and pause processes name the root on their command line.
  const helpers = () =>
    [...commandLines()].filter(([id, line]) => id !== pid && line.includes(directory)).map(([id]) => id);
  const stop = async () => {
    if (child.exitCode === null) {
      using client = connectCri(endpoint);
      await removeAllPods(client).catch(() => {});
    }
    child.kill('SIGTERM');
    await Promise.race([ended, sleep(10_000).then(() => child.kill('SIGKILL'))]);
    for (const helper of helpers()) process.kill(helper, 'SIGKILL');
    await killContainersBelow(directory);
    unmountBelow(directory);
    network.remove();
    if (process.env.KEEP_PEER_LOGS === undefined) rmSync(directory, { recursive: true, force: true });
  };
  try {
    await waitReady(endpoint, log, () => child.exitCode === null);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: 'skiff',
    endpoint,
    pid,
    directory,
    processes: () => [pid, ...helpers()],
    [Symbol.asyncDispose]: stop,
  };
}
