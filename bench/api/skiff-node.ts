/** A whole `skiff node` under a root of its own, with the bench's image, for the API's figures. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { busyboxArchive } from '../../test/peers/busybox-image.ts';
import { runLauncher } from '../../test/program/harness.ts';
import { makeNodeRoot } from '../node-root.ts';

/** The image of the bench's pods. */
export const image = 'localhost/bench/box:1';

/** A running node. */
export interface SkiffNode extends AsyncDisposable {
  readonly pid: number;
  readonly root: string;
  /** Its API's administrator's, or the one it was started with. */
  readonly kubeconfig: string;
}

/** Milliseconds a node may take to be ready. */
const readyMs = 120_000;

/**
 * Starts the node and waits until it is ready.
 *
 * @param nodeName its name.
 * @param args of `skiff node`: `--kubeconfig FILE` joins a cluster.
 */
export async function startSkiffNode(nodeName: string, ...args: string[]): Promise<SkiffNode> {
  const place = makeNodeRoot('/tmp/skiff-ba-');
  const root = place.directory;
  mkdirSync(join(root, 'etc'));
  const config = join(root, 'etc', 'config.yaml');
  const kubelet = join(root, 'etc', 'kubelet.yaml');
  // How full the machine's disk is must not matter.
  writeFileSync(
    kubelet,
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      evictionHard: {},
      imageGCHighThresholdPercent: 100,
      failCgroupV1: false,
      readOnlyPort: 0,
      // Without it every sync of a pod is worth an event, the original's and ours.
      clusterDNS: ['192.0.2.53'],
      ...(args.length > 0 && { port: 0, healthzPort: 0 }),
    }),
  );
  writeFileSync(config, JSON.stringify({ nodeName, logLevel: 'error', kubelet: { configFile: kubelet } }));
  const main = new URL('../../apps/cli/main.ts', import.meta.url).pathname;
  const command = [main, '--root', root, 'node', '--config', config, ...args];
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...command], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
    await place.clear();
  };
  try {
    await untilReady(root, child);
    await loadImage(root);
  } catch (error) {
    await stop();
    throw error;
  }
  const at = args.indexOf('--kubeconfig');
  const own = join(root, 'lib', 'kube-api', 'admin.kubeconfig');
  const kubeconfig = at < 0 ? own : (args[at + 1] ?? '');
  return { pid: child.pid ?? 0, root, kubeconfig, [Symbol.asyncDispose]: stop };
}

async function untilReady(root: string, child: { exitCode: number | null }): Promise<void> {
  const published = join(root, 'run', 'node.json');
  for (const end = Date.now() + readyMs; !existsSync(published); await sleep(20)) {
    if (child.exitCode !== null) throw new Error(`the node ended with ${child.exitCode}`);
    if (Date.now() > end) throw new Error(`the node is not ready within ${readyMs} ms`);
  }
}

/** Loads the image of the bench's pods into what serves below a root. */
export async function loadImage(root: string): Promise<void> {
  const directory = mkdtempSync('/tmp/skiff-bi-');
  try {
    const archive = busyboxArchive(directory, image);
    const { code, stderr } = await runLauncher(['--root', root, 'load', '--input', archive]);
    if (code !== 0) throw new Error(`cannot load the image: ${stderr}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
