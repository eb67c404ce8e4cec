/** Debian's containerd with a root and state of its own, asked over the CRI like any kubelet does. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectCri } from '#contracts/cri/client.ts';

/** A running containerd. */
export interface Containerd extends AsyncDisposable {
  /** Pulls an image. @returns milliseconds on the clock and of processor time. */
  pull(reference: string): Promise<{ ms: number; cpuMs: number }>;
}

/** Starts it below `place`, in fresh directories. */
export async function startContainerd(place: string): Promise<Containerd> {
  const directory = mkdtempSync(`${place}/ctd-`);
  mkdirSync(`${directory}/certs.d`);
  const socket = `${directory}/s.sock`;
  writeFileSync(
    `${directory}/config.toml`,
    `version = 2
root = "${directory}/root"
state = "${directory}/state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${directory}/certs.d"
`,
  );
  const child = spawn('containerd', ['--config', `${directory}/config.toml`, '--log-level', 'error'], {
    stdio: 'ignore',
  });
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  const client = connectCri(socket);
  for (let attempt = 0; ; attempt += 1) {
    try {
      await client.images.listImages({}, { timeoutMs: 1000 });
      break;
    } catch (error) {
      if (attempt > 100) throw error;
      await sleep(100);
    }
  }
  await sleep(500);
  return {
    pull: async (reference) => {
      const used = cpuMs(child.pid ?? 0);
      const start = performance.now();
      await client.images.pullImage({ image: { image: reference } });
      const ms = performance.now() - start;
      return { ms, cpuMs: cpuMs(child.pid ?? 0) - used };
    },
    [Symbol.asyncDispose]: async () => {
      client.close();
      child.kill('SIGTERM');
      await Promise.race([ended, sleep(5000)]);
      child.kill('SIGKILL');
    },
  };
}

/** Milliseconds in one tick of /proc/PID/stat: 100 a second on every Linux. */
const tickMs = 10;

/** Processor time that a process and those of its children that have ended have used: proc_pid_stat(5). */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return tickMs * [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0);
}
