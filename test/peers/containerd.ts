/**
 * Debian's containerd as a CRI runtime of its own: own root, state, socket, CNI bridge and images, all under
 * one directory of /tmp. Integration tests run against it, so that what is ours is judged by another's runtime.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { busyboxArchive } from './busybox-image.ts';

/** The image every test may use without a registry: busybox with all its applets. */
export const busyboxImage = 'skiff.test/busybox:1';

export interface ContainerdPeer extends AsyncDisposable {
  readonly socket: string;
  readonly cri: CriClient;
  readonly directory: string;
  /** Ends every pod, containerd itself, and removes what it left. */
  stop(): Promise<void>;
  /** kill -9 and start again over the same state. */
  restart(): Promise<void>;
}

/** Whether the Debian package is installed. */
export const containerdInstalled = existsSync('/usr/bin/containerd');

/**
 * Starts containerd.
 *
 * @param subnet the third number of `10.99.N.0/24`, distinct among tests that run at once.
 * @param handlers programs of OCI runtimes, by the names of their runtime handlers, beside runc.
 */
export async function startContainerd(
  subnet: number,
  handlers: Readonly<Record<string, string>> = {},
): Promise<ContainerdPeer> {
  const directory = mkdtempSync('/tmp/skiff-ctd-');
  const socket = join(directory, 's.sock');
  const bridge = `sktest${subnet}`;
  writeConfig(directory, socket, bridge, subnet);
  appendFileSync(
    join(directory, 'config.toml'),
    Object.entries(handlers).map(handlerConfig(directory)).join(''),
  );
  let child = run(directory);
  const cri = connectCri(socket);
  const ready = async () => {
    const until = Date.now() + 20_000;
    for (;;) {
      try {
        await cri.runtime.status({}, { timeoutMs: 2000 });
        return;
      } catch (error) {
        if (Date.now() > until) throw error;
        await wait(100);
      }
    }
  };
  const stop = async () => {
    await endPods(cri).catch(() => {});
    cri.close();
    await end(child);
    unmountBelow(directory);
    try {
      execFileSync('ip', ['link', 'delete', bridge], { stdio: 'ignore' });
    } catch {
      // No pod had a network: the bridge was never made.
    }
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await ready();
    const archive = busyboxArchive(directory, busyboxImage);
    const ctr = ['-a', socket, '-n', 'k8s.io', 'images'];
    execFileSync('ctr', [...ctr, 'import', archive], { stdio: 'ignore' });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    socket,
    cri,
    directory,
    stop,
    [Symbol.asyncDispose]: stop,
    async restart() {
      await end(child, 'SIGKILL');
      child = run(directory);
      await ready();
    },
  };
}

function writeConfig(directory: string, socket: string, bridge: string, subnet: number): void {
  const netDirectory = join(directory, 'net.d');
  mkdirSync(netDirectory, { recursive: true });
  const network = {
    cniVersion: '0.4.0',
    name: bridge,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        ipam: {
          type: 'host-local',
          dataDir: join(directory, 'ipam'),
          ranges: [[{ subnet: `10.99.${subnet}.0/24` }]],
        },
      },
    ],
  };
  writeFileSync(join(netDirectory, '10-test.conflist'), JSON.stringify(network));
  writeFileSync(
    join(directory, 'config.toml'),
    `version = 2
root = "${join(directory, 'root')}"
state = "${join(directory, 'state')}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${join(directory, 't.sock')}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${busyboxImage}"
  stream_server_port = "0"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${netDirectory}"
`,
  );
}

/** A runtime behind containerd's own shim for such as runc. */
function handlerConfig(directory: string) {
  const table = 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes';
  return ([name, program]: [string, string]) => `
[${table}.${name}]
  runtime_type = "io.containerd.runc.v2"
  [${table}.${name}.options]
    BinaryName = "${program}"
    Root = "${join(directory, name)}"
[${table}.runc]
  runtime_type = "io.containerd.runc.v2"
`;
}

function run(directory: string): ChildProcess {
  const log = openSync(join(directory, 'log'), 'a');
  return spawn('containerd', ['--config', join(directory, 'config.toml')], { stdio: ['ignore', log, log] });
}

async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await Promise.race([exited, wait(5000)]);
  child.kill('SIGKILL');
}

async function endPods(cri: CriClient): Promise<void> {
  const { items } = await cri.runtime.listPodSandbox({});
  await Promise.all(
    items.map(async ({ id }) => {
      await cri.runtime.stopPodSandbox({ podSandboxId: id }, { timeoutMs: 30_000 });
      await cri.runtime.removePodSandbox({ podSandboxId: id }, { timeoutMs: 30_000 });
    }),
  );
}

function unmountBelow(directory: string): void {
  const mounts = execFileSync('findmnt', ['-rno', 'TARGET'], { encoding: 'utf8' }).split('\n');
  const inside = mounts.filter((target) => target.startsWith(`${directory}/`)).reverse();
  for (const target of inside) execFileSync('umount', ['-l', target], { stdio: 'ignore' });
}
