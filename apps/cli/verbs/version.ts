/** `skiff version`: what is running, without starting or asking anything. */
import { release } from 'node:os';
import packageJson from '../../../package.json' with { type: 'json' };
import type { Context } from '../context.ts';

/** Prints versions, as lines or JSON. */
export async function run(context: Context, options: { json?: boolean }): Promise<void> {
  const versions = {
    skiff: packageJson.version,
    cri: 'runtime.v1 (cri-api 0.36.3)',
    node: process.version,
    kernel: release(),
  };
  if (options.json === true) {
    context.out.write(`${JSON.stringify(versions)}\n`);
    return;
  }
  for (const [name, version] of Object.entries(versions)) context.out.write(`${name.padEnd(7)} ${version}\n`);
}
