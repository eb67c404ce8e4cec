/** A first, a cold and a warm pull with Skiff, in a process of its own, as a node would be. */
import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { promisify } from 'node:util';
import { compileCache } from '../compile-cache.ts';
import type { LoopFigures } from './loop-watch.ts';

/** What one run told. */
export interface SkiffPull {
  /** The first pull of the process: of another image. */
  firstMs: number;
  coldMs: number;
  warmMs: number;
  /** Processor time of the cold pull: what other programs do to the clock does not count. */
  cpuMs: number;
  growthMb: number;
  /** How the event loop did during the cold pull. */
  loop: LoopFigures;
}

/** What the launcher starts Node with: see `skiff` for the reasons. */
const nodeFlags = ['--disable-warning=ExperimentalWarning', '--no-wasm-tier-up', '--no-wasm-dynamic-tiering'];

/** Pulls `first`, if any, then `reference`, into a fresh directory below `place`, which stays until the bench is over: mass deletes slow ext4. */
export async function pullWithSkiff(
  place: string,
  first: string | undefined,
  reference: string,
): Promise<SkiffPull> {
  const directory = mkdtempSync(`${place}/skiff-`);
  const script = new URL('./skiff-process.ts', import.meta.url).pathname;
  const args = [...nodeFlags, script, directory, first ?? '', reference];
  const env = { ...process.env, NODE_COMPILE_CACHE: compileCache };
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  return JSON.parse(stdout) as SkiffPull;
}
