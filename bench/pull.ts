/**
 * Cold pulls, Skiff against Debian's containerd, from Debian's docker-registry on loopback: an image of six
 * layers (about 290 MiB of gzip, from Debian packages) and one of sixty. In turn, each time into fresh
 * directories; prints medians, ratios, Skiff's memory and the longest block of its event loop, the time of a
 * warm pull, and the floor: raw inflating, hashing and writing of the same bytes.
 *
 * Usage: node bench/pull.ts [ROUNDS] [--keep DIRECTORY]
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRegistry } from '../test/hostile-images/registry.ts';
import { startContainerd } from './pull/containerd.ts';
import { median, ratio, seconds } from './pull/figures.ts';
import { floorOf } from './pull/floor.ts';
import { buildBenchImages } from './pull/make-images.ts';
import { pullWithSkiff, type SkiffPull } from './pull/skiff.ts';

const rounds = Number(process.argv[2] ?? 3);
const kept = process.argv.indexOf('--keep');
const place = kept > 0 ? (process.argv[kept + 1] ?? '') : mkdtempSync('/tmp/skiff-bench-');
mkdirSync(place, { recursive: true });

await using registry = await startRegistry(place);
const images = await buildBenchImages(registry.host, place);
for (const image of images) {
  const skiff: SkiffPull[] = [];
  const containerd: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    skiff.push(await pullWithSkiff(place, image.reference));
    await sleep(3000);
    await using daemon = await startContainerd(place);
    containerd.push(await daemon.pull(image.reference));
    await sleep(3000);
  }
  const ours = median(skiff.map((each) => each.coldMs));
  const theirs = median(containerd);
  console.log(`${image.name}: ${image.layers} layers, ${(image.bytes / 2 ** 20).toFixed(0)} MiB`);
  console.log(`  skiff       ${seconds(ours)}  (${skiff.map((each) => seconds(each.coldMs)).join(' ')})`);
  console.log(
    `  containerd  ${seconds(theirs)}  (${containerd.map(seconds).join(' ')})  ratio ${ratio(theirs, ours)}`,
  );
  console.log(`  of which sync ${seconds(median(skiff.map((each) => each.syncMs)))}`);
  console.log(`  memory growth ${Math.max(...skiff.map((each) => each.growthMb)).toFixed(0)} MB at the peak`);
  const [own, wall] = [skiff.map((each) => each.blockMs), skiff.map((each) => each.blockWallMs)];
  console.log(
    `  longest loop block ${Math.max(...own).toFixed(1)} ms of work, ${Math.max(...wall).toFixed(1)} ms on the clock`,
  );
  console.log(`  warm pull ${median(skiff.map((each) => each.warmMs)).toFixed(1)} ms`);
  console.log(`  floor: ${await floorOf(image.layerFiles)}`);
}
if (kept < 0) rmSync(place, { recursive: true, force: true });
