/**
 * Cold pulls, Skiff against Debian's containerd, from Debian's docker-registry on loopback: an image of six
 * layers (about 290 MiB of gzip, from Debian packages) and one of sixty. In turn, each time into fresh
 * directories, by a server that was started for it and has pulled one other image, or with --fresh nothing; prints
 * medians, ratios (of the clock and of processor time, which busy neighbours change less), Skiff's memory and the
 * longest block of its event loop, the time of a warm pull, and the floor: raw inflating, hashing and writing of the
 * same bytes.
 *
 * Usage: node bench/pull.ts [ROUNDS] [--keep DIRECTORY] [--only six|sixty] [--fresh]
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { syncFileSystem } from '#foundation/linux/sync.ts';
import { startRegistry } from '../test/hostile-images/registry.ts';
import { startContainerd } from './pull/containerd.ts';
import { median, ratio, seconds } from './pull/figures.ts';
import { floorOf } from './pull/floor.ts';
import type { LateTurn } from './pull/loop-watch.ts';
import { buildBenchImages, buildFirstImage, imageNames } from './pull/make-images.ts';
import { pullWithSkiff, type SkiffPull } from './pull/skiff.ts';

const rounds = Number(process.argv[2] ?? 3);
const kept = process.argv.indexOf('--keep');
const place = kept > 0 ? (process.argv[kept + 1] ?? '') : mkdtempSync('/tmp/skiff-bench-');
const only = process.argv.indexOf('--only');
const fresh = process.argv.includes('--fresh');
const names = imageNames.filter((name) => only < 0 || name === process.argv[only + 1]);
mkdirSync(place, { recursive: true });

/**
 * Writes out what earlier rounds and other programs left: containerd syncs nothing, and a pull that does would pay for it.
 */
const settle = () => syncFileSystem(place);

await using registry = await startRegistry(place);
const first = await buildFirstImage(registry.host, place);
const images = await buildBenchImages(registry.host, place, names);
for (const image of images) {
  const skiff: SkiffPull[] = [];
  const containerd: { firstMs: number; ms: number; cpuMs: number }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    settle();
    skiff.push(await pullWithSkiff(place, fresh ? undefined : first.reference, image.reference));
    await sleep(3000);
    settle();
    await using daemon = await startContainerd(place);
    const firstMs = fresh ? 0 : (await daemon.pull(first.reference)).ms;
    await sleep(300);
    containerd.push({ firstMs, ...(await daemon.pull(image.reference)) });
    await sleep(3000);
  }
  const most = (figure: (each: SkiffPull) => number) => Math.max(...skiff.map(figure));
  const line = (who: string, all: number[]) =>
    `  ${who.padEnd(11)} ${seconds(median(all))}  (${all.map(seconds).join(' ')})`;
  const compare = (what: string, ours: number[], theirs: number[]) => {
    console.log(` ${what}: ${ratio(median(theirs), median(ours))}`);
    console.log(line('skiff', ours));
    console.log(line('containerd', theirs));
  };
  console.log(`${image.name}: ${image.layers} layers, ${(image.bytes / 2 ** 20).toFixed(0)} MiB`);
  const pick = (figure: 'ms' | 'cpuMs') => containerd.map((each) => each[figure]);
  if (!fresh)
    compare(
      `first pull of the server, ${first.layers} other layers`,
      skiff.map((each) => each.firstMs),
      containerd.map((each) => each.firstMs),
    );
  compare(
    fresh ? 'cold pull, the first of its server' : 'cold pull',
    skiff.map((each) => each.coldMs),
    pick('ms'),
  );
  compare(
    'processor time',
    skiff.map((each) => each.cpuMs),
    pick('cpuMs'),
  );
  console.log(` memory growth ${most((each) => each.growthMb).toFixed(0)} MB at the peak`);
  tellLoop(skiff);
  console.log(` warm pull ${median(skiff.map((each) => each.warmMs)).toFixed(1)} ms`);
  const floor = floorOf(image.layerFiles, place);
  const above = median(skiff.map((each) => each.coldMs)) / floor.ms;
  console.log(
    ` floor ${seconds(floor.ms)} on two processors (${floor.parts}): skiff takes ${above.toFixed(2)} of it`,
  );
}

/**
 * What the loop was kept from. Its work and its sleep in system calls are Skiff's own; so is waiting for a processor on
 * a machine where nothing else runs, but not beside other programs.
 */
function tellLoop(pulls: SkiffPull[]): void {
  const latest = pulls.map(({ loop }) => loop.latest).toSorted((a, b) => b.lateMs - a.lateMs);
  const tell = ({ lateMs, workMs, waitMs, asleepMs }: LateTurn) =>
    `${lateMs.toFixed(1)} (work ${workMs.toFixed(1)}, waiting for a processor ${waitMs.toFixed(1)}, asleep ${asleepMs.toFixed(1)})`;
  const work = Math.max(...pulls.map(({ loop }) => loop.mostWorkMs));
  console.log(` longest loop block of each pull in ms: ${latest.map(tell).join(', ')}`);
  console.log(` most work of the loop in one turn ${work.toFixed(1)} ms`);
}

// Only now: mass deletes slow ext4. What is kept is the images, not what was pulled: gigabytes for each round.
for (const name of readdirSync(place))
  if (kept < 0 || /^(skiff|ctd)-/.test(name)) rmSync(`${place}/${name}`, { recursive: true, force: true });
if (kept < 0) rmSync(place, { recursive: true, force: true });
