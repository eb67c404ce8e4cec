/**
 * The first figures: medians of a pod's life on Skiff and on Debian's containerd with runc, in one run, with the
 * same image and network configuration, taking turns. `node bench/baseline.ts [rounds]`, as root.
 */
import { calls, live, type Timings } from './cri/lives.ts';
import { describe, startContestants } from './cri/set-up.ts';
import { median, round, table } from './statistics.ts';

const rounds = Number(process.argv[2] ?? 20);
/** Rounds whose figures are thrown away: caches fill, the bridge is made. */
const warmUp = 2;

await using stack = new AsyncDisposableStack();
const contestants = await startContestants(stack);
for (const each of contestants) console.log(await describe(each));
const timings: [Timings, Timings] = [new Map(), new Map()];
for (let index = 0; index < rounds + warmUp; index += 1) {
  for (const [which, { cri, image }] of contestants.entries()) {
    const scratch: Timings = new Map();
    await live(cri, image, index < warmUp ? scratch : (timings[which] ?? scratch));
  }
}
const rows = calls.map((name) => {
  const [own = Number.NaN, other = Number.NaN] = timings.map((each) => median(each.get(name) ?? []));
  return [name, round(own), round(other), `${round(other / own)}x`];
});
console.log(`\nmedian of ${rounds}, milliseconds\n`);
console.log(table([['call', contestants[0].peer.name, contestants[1].peer.name, 'ratio'], ...rows]));
