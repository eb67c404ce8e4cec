/** Kills processes that pull, and looks at what they leave. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const script = new URL('./pull-process.ts', import.meta.url).pathname;

/** What to kill, and when. */
export interface Killing {
  /** The image store's directory. */
  directory: string;
  /** What is pulled, all of it at once. */
  references: string[];
  /** Whether all images are removed before. */
  prune?: boolean;
  /** Tells that the pull is where it shall be; the kill comes `afterMs` later. */
  hasBegun(): boolean;
  afterMs: number;
}

/** Starts pulls in a process of their own and kills that. @returns whether it was still at work. */
export async function pullAndKill(killing: Killing): Promise<boolean> {
  const { directory, references, prune = false, hasBegun, afterMs } = killing;
  const args = ['--disable-warning=ExperimentalWarning', script, dirname(directory)];
  const child = spawn(process.execPath, [...args, ...(prune ? ['--prune'] : []), ...references], {
    stdio: 'ignore',
  });
  const ended = once(child, 'exit');
  for (let wait = 0; !hasBegun() && child.exitCode === null; wait += 1) {
    assert.ok(wait < 6000, 'the pull does not begin');
    await sleep(10);
  }
  await sleep(afterMs);
  child.kill('SIGKILL');
  const [code] = await ended;
  assert.ok(code === null || code === 0, `the pull failed with ${code} before it was killed`);
  return code === null;
}

/** Tells whether anything in the store is not as it is now. */
export function changeOf(directory: string): () => boolean {
  const before = JSON.stringify(stateOf(directory));
  return () => JSON.stringify(stateOf(directory)) !== before;
}

function stateOf(directory: string): string[][] {
  return ['ingest', 'layers', 'blobs/sha256'].map((name) => readdirSync(`${directory}/${name}`).sort());
}

/** Waits until nothing half made and nothing thrown away is left, and the store has so many layers. */
export async function assertTidy(directory: string, layers: number): Promise<void> {
  const left = () =>
    ['ingest', 'trash', 'layers'].map((name) => readdirSync(`${directory}/${name}`).length).join();
  const wanted = [0, 0, layers].join();
  for (let wait = 0; left() !== wanted && wait < 3000; wait += 1) await sleep(20);
  assert.equal(left(), wanted, 'partial blobs, thrown away, layers');
}
