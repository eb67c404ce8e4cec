/** Starts the node of `node-process.ts` and writes pods for it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compileCache } from '../compile-cache.ts';
import { makeNodeRoot } from '../node-root.ts';
import { writePeerNetwork } from '../peers/network.ts';
import { proportionalSetSize } from '../peers/peer.ts';

const program = new URL('./node-process.ts', import.meta.url).pathname;

export interface BenchNode extends AsyncDisposable {
  readonly pid: number;
  /** Writes manifests of pods of this name, all at once. @returns milliseconds until all are Running and Ready. */
  run(name: string, count: number, spec: (index: number) => object): Promise<number>;
  /** Takes all manifests away and waits for the end of the pods. */
  clear(): Promise<void>;
  /** The addresses of its pods: `10.200.101.0/24`. */
  readonly subnet: string;
  /** Processor milliseconds of the node and of what it started, all that ended included. */
  cpuMs(): number;
  /** The same, of the node's own process alone. */
  ownCpuMs(): number;
  /** How many probes of its pods have had an answer. */
  probes(): Promise<number>;
  /** Bytes: the node's process, and its helpers (conmon) together. */
  memory(): { node: number; helpers: number };
  /** V8's view of the node's main thread: bytes. */
  heap(): Promise<NodeJS.MemoryUsage>;
}

/**
 * @param cpuProfile a directory for V8's profile of the node, written when it ends.
 * @param flags of Node for the node's process.
 */
export async function startNode(cpuProfile?: string, flags: readonly string[] = []): Promise<BenchNode> {
  const place = makeNodeRoot('/tmp/skiff-bp-');
  const { directory } = place;
  const network = writePeerNetwork(directory, 'skiff');
  const root = join(directory, 'root');
  const manifests = join(root, 'manifests');
  mkdirSync(manifests, { recursive: true });
  const profile = cpuProfile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${cpuProfile}`];
  const child = fork(program, [root, network.configDir], {
    execArgv: [...flags, ...profile],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
  });
  const pid = child.pid ?? 0;
  await answer(child);
  return {
    pid,
    subnet: network.subnet,
    async run(name, count, spec) {
      const texts = Array.from({ length: count }, (_, index) => manifest(`${name}-${index}`, spec(index)));
      const wanted = readdirSync(manifests).length + count;
      const start = performance.timeOrigin + performance.now();
      for (const [index, text] of texts.entries()) {
        writeFileSync(join(manifests, `.${name}-${index}`), text);
        renameSync(join(manifests, `.${name}-${index}`), join(manifests, `${name}-${index}.json`));
      }
      child.send({ pods: wanted });
      return (await answer(child)).at - start;
    },
    async clear() {
      for (const each of readdirSync(manifests)) rmSync(join(manifests, each));
      child.send({ pods: 0 });
      await answer(child);
      await sleep(500);
    },
    cpuMs: () => processorMs(pid, [11, 12, 13, 14]),
    ownCpuMs: () => processorMs(pid, [11, 12]),
    async probes() {
      child.send({ probes: true });
      return (await answer(child)).probes;
    },
    memory: () => ({
      node: proportionalSetSize(pid),
      helpers: place.helpers(pid).reduce((sum, each) => sum + proportionalSetSize(each), 0),
    }),
    async heap() {
      child.send({ heap: true });
      return (await answer(child)).heap;
    },
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.send({ stop: true });
      await Promise.race([ended, sleep(20_000).then(() => child.kill('SIGKILL'))]);
      await place.clear();
      network.remove();
    },
  };
}

interface Answer {
  at: number;
  heap: NodeJS.MemoryUsage;
  probes: number;
}

/** The next message. @throws Error if the node ends instead. */
async function answer(child: ChildProcess): Promise<Answer> {
  const done = new AbortController();
  const { signal } = done;
  const ended = once(child, 'exit', { signal }).then(() => Promise.reject(new Error('the node has ended')));
  ended.catch(() => {});
  const [message] = (await Promise.race([once(child, 'message', { signal }), ended])) as [Answer];
  done.abort();
  return message;
}

function manifest(name: string, spec: object): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec });
}

/** The sum of some of utime, stime, and those of waited-for children (proc_pid_stat(5)), of 100 ticks a second. */
function processorMs(pid: number, which: readonly number[]): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return which.reduce((sum, at) => sum + Number(fields[at]), 0) * 10;
}
