/** Starts Debian's containerd with its CRI plugin, apart from any that the machine may run. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectCri } from '#contracts/cri/client.ts';
import type { TestRegistry } from '../../conformance/cri/images/registry.ts';
import { killContainersBelow } from './leftovers.ts';
import { pluginDirectory, writePeerNetwork } from './network.ts';
import { buildPauseImage } from './pause.ts';
import { commandLines, type Peer, removeAllPods, waitReady } from './peer.ts';
import { unmountBelow } from './unmount.ts';

/** Starts it. @param registry serves the pause image. */
export async function startContainerd(registry: TestRegistry): Promise<Peer> {
  const directory = mkdtempSync('/tmp/skiff-ctd-');
  const sandboxImage = registry.publish('peers/pause:1', buildPauseImage());
  const network = writePeerNetwork(directory, 'containerd');
  const socket = join(directory, 'c.sock');
  const log = join(directory, 'containerd.log');
  mkdirSync(join(directory, 'opt'));
  writeFileSync(
    join(directory, 'config.toml'),
    configuration(directory, socket, sandboxImage, network.configDir),
  );
  const output = openSync(log, 'a');
  const child = spawn('containerd', ['--config', join(directory, 'config.toml')], {
    stdio: ['ignore', output, output],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const pid = child.pid ?? 0;
  const endpoint = `unix://${socket}`;
  const shims = () =>
    [...commandLines()].filter(([, line]) => line.includes('containerd-shim') && line.includes(socket));
  const stop = async () => {
    using client = connectCri(endpoint);
    await removeAllPods(client).catch(() => {});
    child.kill('SIGTERM');
    await Promise.race([ended, sleep(10_000).then(() => child.kill('SIGKILL'))]);
    for (const [shim] of shims()) process.kill(shim, 'SIGKILL');
    await killContainersBelow(directory);
    unmountBelow(directory);
    network.remove();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await waitReady(endpoint, log, () => child.exitCode === null);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    name: 'containerd',
    endpoint,
    pid,
    directory,
    processes: () => {
      const helpers = shims().map(([shim]) => shim);
      return [pid, ...helpers, ...helpers.flatMap(childrenOf).filter(isPause)];
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** Containers are what was asked for; only the pause process is the runtime's own. */
function isPause(pid: number): boolean {
  try {
    const [program] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return program === '/pause' || program === '/sleep';
  } catch {
    return false;
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function configuration(
  directory: string,
  socket: string,
  sandboxImage: string,
  cniDirectory: string,
): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = "${directory}/root"
state = "${directory}/state"
[grpc]
  address = "${socket}"
  max_recv_message_size = 16777216
  max_send_message_size = 16777216
[plugins."io.containerd.internal.v1.opt"]
  path = "${directory}/opt"
[${cri}]
  sandbox_image = "${sandboxImage}"
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [${cri}.cni]
    bin_dir = "${pluginDirectory}"
    conf_dir = "${cniDirectory}"
  [${cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [${cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [${cri}.containerd.runtimes.runc.options]
        Root = "${directory}/runc"
`;
}
