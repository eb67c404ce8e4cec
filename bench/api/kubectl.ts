/** How long kubectl takes for pods on a whole node, with its own start: `kubectl create` and `kubectl wait`. */
import { execFile } from 'node:child_process';
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
  /** One pod: create, then create and wait together. */
  one: { create: number; ready: number };
  many: { create: number; ready: number };
}

/** A pod that sleeps, as JSON. */
export function podManifest(name: string, label: string): string {
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
  const round = async (label: string, names: readonly string[]) => {
    writeFileSync(file, names.map((name) => podManifest(name, label)).join('\n'));
    const began = performance.now();
    await call('create', '-f', file);
    const create = performance.now() - began;
    await call('wait', '--for=condition=Ready', 'pod', '-l', `bench=${label}`, '--timeout=120s');
    const ready = performance.now() - began;
    await call('delete', 'pod', '-l', `bench=${label}`, '--now');
    return { create, ready };
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
    };
    return { start: median(starts), one, many };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
