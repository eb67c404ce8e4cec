/** The embedded API in a process of its own: what a call costs, with many objects and many watchers. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiClient, openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import { median } from '../statistics.ts';

const path = '/api/v1/namespaces/default/pods';

function pod(name: string): object {
  const containers = [
    {
      name: 'c',
      image: 'registry.example/app:1',
      ports: [{ containerPort: 80 }],
      env: [{ name: 'A', value: 'b' }],
    },
  ];
  return { metadata: { name, labels: { app: 'bench' } }, spec: { schedulerName: 'nobody', containers } };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Prints a figure, and the processor time that the API used for it: that does not depend on who else is busy. */
type Tell = (what: string, ms: number, target?: string) => void;

function teller(pid: number): Tell {
  let told = 0;
  return (what, ms, target = '') => {
    const used = processorSeconds(pid);
    const share = `${((used - told) * 1000).toFixed(0)} ms of processor`;
    told = used;
    console.log(`${what.padEnd(48)} ${ms.toFixed(1).padStart(9)} ms  (${share})  ${target}`);
  };
}

/** Seconds of processor time that a process has used: utime and stime of proc(5), 100 ticks a second. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Milliseconds until every watcher has seen one change, once all of them are open. */
async function fanOut(client: ApiClient, watchers: number, tell: Tell): Promise<number> {
  const query = {
    fieldSelector: 'metadata.name=seen-by-all',
    sendInitialEvents: true,
    resourceVersionMatch: 'NotOlderThan',
    allowWatchBookmarks: true,
  };
  const stop = new AbortController();
  const open = Array.from({ length: watchers }, () =>
    client.watch(path, query, stop.signal)[Symbol.asyncIterator](),
  );
  // The first event is the bookmark after no objects. Handshakes come a few at a time, as from many clients.
  for (let at = 0; at < open.length; at += 25)
    await Promise.all(open.slice(at, at + 25).map((events) => events.next()));
  tell(`open ${watchers} watches`, 0);
  const seen = open.map((events) => events.next());
  const time = await timed(async () => {
    await client.create(path, pod('seen-by-all'));
    await Promise.all(seen);
  });
  stop.abort();
  return time;
}

/** How much to put in. */
export interface EmbeddedSize {
  pods: number;
  watchers: number;
}

/** Starts the API, prints its figures, and ends it. */
export async function measureEmbedded({ pods, watchers }: EmbeddedSize): Promise<void> {
  const directory = mkdtempSync('/tmp/skiff-');
  const script = new URL('../../services/kube-api/testing/serve.ts', import.meta.url).pathname;
  const start = performance.now();
  const child = spawn(process.execPath, [script, directory, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const tell = teller(child.pid ?? 0);
  try {
    await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
    tell('first start of the process, with its keys', performance.now() - start);
    await using client = openApi(loadKubeconfig(join(directory, 'admin.kubeconfig')));
    await calls(client, pods, tell);
    tell(`${watchers} watches see one change`, await fanOut(client, watchers, tell), 'target 100');
    await sleep(1_000);
    const before = processorSeconds(child.pid ?? 0);
    await sleep(10_000);
    const share = ((processorSeconds(child.pid ?? 0) - before) / 10) * 100;
    console.log(`${'idle, of one core'.padEnd(52)} ${share.toFixed(1).padStart(9)} %   target 1`);
  } finally {
    child.kill('SIGKILL');
    await ended;
    rmSync(directory, { recursive: true });
  }
}

/** Times a call, several times over. */
async function each(count: number, call: (index: number) => Promise<unknown>): Promise<number> {
  const list = [];
  for (let index = 0; index < count; index += 1) list.push(await timed(() => call(index)));
  return median(list);
}

async function calls(client: ApiClient, pods: number, tell: Tell): Promise<void> {
  const one = await each(50, (index) => client.create(path, pod(`one-${index}`)));
  tell('create a pod, median of 50 one after another', one);
  const many = () => Array.from({ length: 30 }, (_, at) => client.create(path, pod(`many-${at}`)));
  tell('create 30 pods at once', await timed(() => Promise.all(many())));
  let made = 80;
  const next = async () => {
    while (made < pods) await client.create(path, pod(`fill-${made++}`));
  };
  const filling = await timed(() => Promise.all(Array.from({ length: 32 }, next)));
  const rate = `${((pods - 80) / (filling / 1000)).toFixed(0)} a second`;
  tell(`fill up to ${pods} pods, 32 at once`, filling, rate);
  const listing = await each(9, () => client.text(path, { timeoutMs: 60_000 }));
  tell(`list ${pods} pods`, listing, 'target 200');
  const running = { status: { phase: 'Running' } };
  const patching = await each(50, (index) =>
    client.patch(`${path}/one-${index}/status`, 'strategic-merge-patch', running),
  );
  tell('patch the status of a pod', patching);
}
