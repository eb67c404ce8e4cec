/**
 * Measures how fast blobs come out of Debian's docker-registry on loopback: by the client's `openBlob` in a
 * process of its own and by curl, in turn; and what it costs: CPU, memory, and how long the event loop was
 * blocked. Run it by hand: `node test/faulty-registry/download-bench.ts [MiB] [rounds] [parallel]`.
 */
import { execFile, fork } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { promisify } from 'node:util';
import type { Descriptor } from '#contracts/oci/image.ts';
import { parseReference } from '#services/cri-server/images/reference.ts';
import { createRegistryClient } from '#services/cri-server/images/registry/client.ts';
import { startDebianRegistry } from './debian-registry.ts';
import { describe, streamOf } from './sample.ts';

interface Task {
  reference: string;
  layer: Descriptor;
  parallel: number;
}

interface Figures {
  ms: number;
  /** CPU time of the client's process, user and system. */
  cpuMs: number;
  /** The longest time that the event loop did not turn. */
  blockedMs: number;
  /** MiB by which the resident memory grew above that before the first download. */
  growth: number;
}

/** The child: downloads once for each message. */
async function serveTasks(): Promise<void> {
  const client = createRegistryClient();
  const before = process.memoryUsage.rss();
  process.on('message', async ({ reference, layer, parallel }: Task) => {
    const named = parseReference(reference);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    let peak = 0;
    const sampler = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss());
    }, 5);
    delay.enable();
    const cpu = process.cpuUsage();
    const start = performance.now();
    const one = async () => {
      let bytes = 0;
      const stream = await client.openBlob(named, layer);
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      await once(stream, 'end');
      if (bytes !== layer.size) throw new Error(`${bytes} bytes`);
    };
    await Promise.all(Array.from({ length: parallel }, one));
    const ms = performance.now() - start;
    const used = process.cpuUsage(cpu);
    delay.disable();
    clearInterval(sampler);
    const cpuMs = (used.user + used.system) / 1000;
    const growth = (peak - before) / 1048576;
    process.send?.({ ms, cpuMs, blockedMs: delay.max / 1e6, growth } satisfies Figures);
  });
  process.send?.('ready');
}

async function compare(size: number, rounds: number, parallel: number): Promise<void> {
  await using registry = await startDebianRegistry();
  const content = randomFillSync(Buffer.alloc(size * 1024 * 1024));
  const layer = describe('application/octet-stream', content);
  const reference = `${registry.address}/bench/app:v1`;
  const pusher = createRegistryClient();
  await pusher.pushBlob(parseReference(reference), layer, () => streamOf(content, 1024 * 1024));
  await pusher.close();
  const url = `http://${registry.address}/v2/bench/app/blobs/${layer.digest}`;
  const child = fork(import.meta.filename, ['--child']);
  await once(child, 'message');
  const curl = async () => {
    const start = performance.now();
    const run = () => promisify(execFile)('curl', ['-sS', '-o', '/dev/null', url]);
    await Promise.all(Array.from({ length: parallel }, run));
    return performance.now() - start;
  };
  const skiff = async () => {
    child.send({ reference, layer, parallel } satisfies Task);
    const [figures] = await once(child, 'message');
    return figures as Figures;
  };
  await skiff();
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const theirs = await curl();
    const { ms, cpuMs, blockedMs, growth } = await skiff();
    ratios.push(theirs / ms);
    const rate = (time: number) => `${((size * parallel * 1000) / time).toFixed(0)} MiB/s`;
    console.log(
      `curl ${rate(theirs)}, skiff ${rate(ms)}: CPU ${cpuMs.toFixed(0)} ms, loop blocked ${blockedMs.toFixed(1)} ms at most, memory +${growth.toFixed(0)} MiB`,
    );
  }
  ratios.sort((a, b) => a - b);
  console.log(`skiff / curl: ${ratios[Math.floor(rounds / 2)]?.toFixed(2)} (median of ${rounds})`);
  child.kill();
}

const [size = 300, rounds = 5, parallel = 1] = process.argv.slice(2).map(Number);
if (process.argv.includes('--child')) await serveTasks();
else await compare(size, rounds, parallel);
