/**
 * How long kubectl takes for pods on a whole node, with its own start: `kubectl create`, until a watch has shown the
 * last pod Ready, and until `kubectl wait` is satisfied. That asks for one pod after another, and allows itself five
 * requests a second after the first ten: with many pods it tells of kubectl, not of the node.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { median } from '../statistics.ts';
import { image } from './skiff-node.ts';

const run = promisify(execFile);

/** Milliseconds. */
export interface KubectlFigures {
  /** kubectl alone: `kubectl version --client`. */
  start: number;
  one: RoundFigures;
  many: RoundFigures;
}

/** Milliseconds from the start of `kubectl create`. */
export interface RoundFigures {
  /** Its end. */
  create: number;
  /** When `kubectl get --watch` has shown the last pod Ready. */
  ready: number;
  /** The end of a `kubectl wait` that is started after the creation. */
  waited: number;
}

/** A pod that sleeps, as JSON. */
function podManifest(name: string, label: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { bench: label } },
    spec: {
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      containers: [{ name: 'c', image, command: ['sleep', '100000'] }],
    },
  });
}

/** Measures one pod `rounds` times and `count` pods once, and ends them. */
export async function measureKubectl(
  kubectl: string,
  kubeconfig: string,
  count: number,
  rounds = 5,
): Promise<KubectlFigures> {
  const directory = mkdtempSync('/tmp/skiff-bk-');
  const call = (...args: string[]) =>
    run(kubectl, ['--kubeconfig', kubeconfig, ...args], { env: { ...process.env, HOME: directory } });
  const file = join(directory, 'pods.json');
  const round = async (label: string, names: readonly string[]): Promise<RoundFigures> => {
    writeFileSync(file, names.map((name) => podManifest(name, label)).join('\n'));
    const watch = watchReady(kubectl, kubeconfig, label, names.length);
    await new Promise((resolve) => setTimeout(resolve, watchAheadMs));
    const began = performance.now();
    await call('create', '-f', file);
    const create = performance.now() - began;
    const waiting = call('wait', '--for=condition=Ready', 'pod', '-l', `bench=${label}`, '--timeout=120s');
    const waited = waiting.then(() => performance.now() - began);
    const ready = (await watch) - began;
    const figures = { create, ready, waited: await waited };
    await call('delete', 'pod', '-l', `bench=${label}`, '--now');
    return figures;
  };
  try {
    const starts = [];
    const ones = [];
    for (let index = 0; index < rounds; index += 1) {
      const began = performance.now();
      await call('version', '--client');
      starts.push(performance.now() - began);
      ones.push(await round('one', [`one-${index}`]));
    }
    const many = await round(
      'many',
      Array.from({ length: count }, (_, index) => `many-${index}`),
    );
    const one = {
      create: median(ones.map(({ create }) => create)),
      ready: median(ones.map(({ ready }) => ready)),
      waited: median(ones.map(({ waited }) => waited)),
    };
    return { start: median(starts), one, many };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** How long the watch has to begin before the pods are created. */
const watchAheadMs = 1500;

/** When (`performance.now()`) a watch has shown so many pods Ready. */
function watchReady(kubectl: string, kubeconfig: string, label: string, count: number): Promise<number> {
  const path = '{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\\n"}';
  const options = ['--kubeconfig', kubeconfig, 'get', 'pods', '-l', `bench=${label}`, '--watch'];
  const child = spawn(kubectl, [...options, '-o', `jsonpath=${path}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ready = new Set<string>();
  return new Promise((resolve, reject) => {
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const [, name] of lines.map((line) => /^(\S+) True$/.exec(line) ?? [])) {
        if (name !== undefined) ready.add(name);
      }
      if (ready.size < count) return;
      resolve(performance.now());
      child.kill();
    });
    child.on('exit', () => reject(new Error(`the watch ended with ${ready.size} of ${count} pods Ready`)));
  });
}
