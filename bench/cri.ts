/**
 * The figures of the CRI server against Debian's containerd with runc, in one run with the same image and
 * network configuration: a pod's life serially and with 8 clients at once, ListContainers with many containers,
 * and memory per idle pod. `node bench/cri.ts [rounds] [containers] [idle pods]`, as root.
 */
import { listing } from './cri/listing.ts';
import { calls, live, type Timings } from './cri/lives.ts';
import { memoryPerPod } from './cri/memory.ts';
import { type Contestant, describe, startContestants } from './cri/set-up.ts';
import { median, round, table } from './statistics.ts';

const [, , rounds = '20', containers = '500', idlePods = '20'] = process.argv;
/** What the issue asks for: containerd's figure divided by Skiff's. */
const targets: Record<string, number> = {
  RunPodSandbox: 10,
  StopPodSandbox: 10,
  'create + start': 3,
  ExecSync: 2,
  ListContainers: 1,
  'memory per idle pod': 3,
};

await using stack = new AsyncDisposableStack();
const contestants = await startContestants(stack);
for (const each of contestants) console.log(await describe(each));
for (const { cri, image } of contestants)
  for (let index = 0; index < 3; index += 1) await live(cri, image, new Map());

const rows: string[][] = [];
const addRow = (name: string, unit: string, [own, other]: [number, number], target?: number) => {
  const ratio = other / own;
  const verdict = target === undefined ? '' : ratio >= target ? `>= ${target}: met` : `>= ${target}: MISSED`;
  rows.push([name, unit, round(own), round(other), `${round(ratio)}x`, verdict]);
};

const serial = await measureLives(1, Number(rounds));
for (const name of calls) addRow(name, 'ms', mediansOf(serial, name), targets[name]);
const memory = await both((contestant) => memoryPerPod(contestant, Number(idlePods)));
addRow('memory per idle pod', 'MiB', memory, targets['memory per idle pod']);
const crowded = await measureLives(8, Math.max(3, Math.round(Number(rounds) / 4)));
for (const name of calls) addRow(`${name}, 8 at once`, 'ms', mediansOf(crowded, name), targets[name]);
const lists = await both((contestant) => listing(contestant, Number(containers)));
addRow(`ListContainers of ${containers}`, 'ms', lists, targets.ListContainers);

console.log(`\nmedians of ${rounds} pods; memory is the proportional set size over ${idlePods} pods\n`);
const [one, two] = contestants;
console.log(table([['', 'unit', one.peer.name, two.peer.name, 'ratio', 'target'], ...rows]));

/** Each peer in turn, so that both see the same weather. */
async function measureLives(clients: number, turns: number): Promise<[Timings, Timings]> {
  const timings: [Timings, Timings] = [new Map(), new Map()];
  for (let turn = 0; turn < turns; turn += 1) {
    for (const [which, { cri, image }] of contestants.entries()) {
      const own = timings[which] ?? new Map();
      await Promise.all(Array.from({ length: clients }, () => live(cri, image, own)));
    }
  }
  return timings;
}

function mediansOf([own, other]: [Timings, Timings], name: string): [number, number] {
  return [median(own.get(name) ?? []), median(other.get(name) ?? [])];
}

async function both(measure: (contestant: Contestant) => Promise<number>): Promise<[number, number]> {
  const [skiff, containerd] = contestants;
  return [await measure(skiff), await measure(containerd)];
}
