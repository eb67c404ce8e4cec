/**
 * systemd-logind tells when the machine is about to shut down and waits for who asked it to
 * (https://systemd.io/INHIBITOR_LOCKS/). The lock is a pipe that systemd-inhibit(1) holds: it ends with this process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { SkiffError } from '#foundation/base/errors.ts';

/** What to be called in the list of locks. */
export interface InhibitRequest {
  who: string;
  why: string;
  /** Hears that the machine goes down (true), or that it stays after all (false). */
  onShutdown: (starting: boolean) => void;
}

/** A lock that delays shutdown. */
export interface Inhibitor {
  /** Lets the machine go; it may be taken again with another call. */
  release(): void;
  /** Ends listening too. */
  close(): void;
}

const signalMatch = "type='signal',interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'";

/**
 * Delays shutdown and listens for it.
 *
 * @throws SkiffError FAILED_PRECONDITION if this machine has no logind that grants the lock.
 */
export async function inhibitShutdown({ who, why, onShutdown }: InhibitRequest): Promise<Inhibitor> {
  const lock = await takeLock(who, why);
  const monitor = spawn('busctl', ['--json=short', '--match', signalMatch, 'monitor'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  monitor.on('error', () => {}); // Without the bus there was no lock either.
  createInterface({ input: monitor.stdout }).on('line', (line) => {
    const starting = shutdownSignal(line);
    if (starting !== undefined) onShutdown(starting);
  });
  return {
    release: () => void lock.stdin?.end(),
    close() {
      lock.stdin?.end();
      monitor.kill('SIGKILL');
    },
  };
}

/** systemd-inhibit holds the lock as long as the command it runs; `cat` runs as long as our pipe is open. */
async function takeLock(who: string, why: string): Promise<ChildProcess> {
  const options = ['--what=shutdown', '--mode=delay', `--who=${who}`, `--why=${why}`];
  // The command's first output says that the lock was granted.
  const command = ['sh', '-c', 'echo held; exec cat'];
  const child = spawn('systemd-inhibit', [...options, ...command], { stdio: 'pipe' });
  child.stdin.on('error', () => {});
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString().slice(0, 1000);
  });
  child.stdout.once('data', () => resolve());
  const fail = (cause: string) =>
    reject(new SkiffError('FAILED_PRECONDITION', `Cannot delay the shutdown of this machine: ${cause}`));
  child.once('error', (error) => fail(error.message));
  child.once('close', (code) => fail(said.trim() || `systemd-inhibit exited with ${code}`));
  await promise;
  return child;
}

/** Whether a line of `busctl monitor` is the signal, and what it says. Exported for the tests. */
function shutdownSignal(line: string): boolean | undefined {
  try {
    const message = JSON.parse(line) as { member?: string; payload?: { data?: unknown[] } };
    if (message.member !== 'PrepareForShutdown') return undefined;
    const [starting] = message.payload?.data ?? [];
    return typeof starting === 'boolean' ? starting : undefined;
  } catch {
    return undefined;
  }
}
