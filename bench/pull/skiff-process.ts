/** The process that `skiff.ts` starts: pulls another image first, unless that is empty, pulls cold, pulls warm, prints one line of JSON. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '#foundation/base/log.ts';
import { serveThisThreadFirst } from '#foundation/linux/scheduling.ts';
import { createImages } from '#services/cri-server/images/index.ts';
import { createRegistryClient } from '#services/cri-server/images/registry/client.ts';
import { openStore } from '#services/cri-server/store/store.ts';
import { watchLoop } from './loop-watch.ts';

const [directory = '', first = '', reference = ''] = process.argv.slice(2);
const store = openStore(`${directory}/state.db`);
const groupedStore = openStore(`${directory}/state.db`, { grouped: true });
const registry = createRegistryClient();
const images = createImages({
  directory: `${directory}/images`,
  store,
  groupedStore,
  registry,
  logger: silentLogger,
});

const residentMb = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;
// As in every server: the loop goes before its threads, and a pull is rehearsed once the server is idle.
serveThisThreadFirst();
await sleep(300);
await images.rehearse();
await sleep(300);
const firstStart = performance.now();
if (first !== '') await images.pull({ reference: first });
const firstMs = performance.now() - firstStart;
await sleep(300);
const before = residentMb();
let most = before;
const sampler = setInterval(() => {
  most = Math.max(most, residentMb());
}, 50);
// Somebody watches, as `skiff pull` does.
images.board.watch(() => {});
const stopWatching = watchLoop();
const used = process.cpuUsage();
const start = performance.now();
await images.pull({ reference });
const end = performance.now();
const { user, system } = process.cpuUsage(used);
const loop = stopWatching();
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
    loop,
  }),
);
await images.close();
await registry.close();
groupedStore.close();
store.close();
