/** The process that `skiff.ts` starts: pulls another image first, pulls cold, pulls warm, prints one line of JSON. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '#foundation/base/log.ts';
import { createImages } from '#services/cri-server/images/index.ts';
import { createRegistryClient } from '#services/cri-server/images/registry/client.ts';
import { openStore } from '#services/cri-server/store/store.ts';

const [directory = '', first = '', reference = ''] = process.argv.slice(2);
const store = openStore(`${directory}/state.db`);
const registry = createRegistryClient();
const images = createImages({ directory: `${directory}/images`, store, registry, logger: silentLogger });

const residentMb = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;
await sleep(300); // A node has long started when a pull comes,
const firstStart = performance.now();
await images.pull({ reference: first }); // and has pulled before.
const firstMs = performance.now() - firstStart;
await sleep(300);
const before = residentMb();
let most = before;
const sampler = setInterval(() => {
  most = Math.max(most, residentMb());
}, 50);
// Somebody watches, as `skiff pull` does.
images.board.watch(() => {});
// What the loop itself did between two of its turns, and how long that was on the clock: the second also counts
// the waiting for a processor that other programs have. Every 3 ms: each look costs some microseconds itself, and a
// thousand of them a second would be a fifth of what is measured.
let ownMs = 0;
let wallMs = 0;
let turn = { at: performance.now(), cpu: process.threadCpuUsage() };
const turns = setInterval(() => {
  const { user, system } = process.threadCpuUsage(turn.cpu);
  ownMs = Math.max(ownMs, (user + system) / 1000);
  wallMs = Math.max(wallMs, performance.now() - turn.at);
  turn = { at: performance.now(), cpu: process.threadCpuUsage() };
}, 3);
const used = process.cpuUsage();
const start = performance.now();
await images.pull({ reference });
const end = performance.now();
const { user, system } = process.cpuUsage(used);
clearInterval(turns);
clearInterval(sampler);
const warmStart = performance.now();
await images.pull({ reference });
const warmMs = performance.now() - warmStart;
console.log(
  JSON.stringify({
    firstMs,
    coldMs: end - start,
    warmMs,
    cpuMs: (user + system) / 1000,
    growthMb: most - before,
    blockMs: ownMs,
    blockWallMs: wallMs,
  }),
);
await images.close();
await registry.close();
store.close();
