/** Builds the shim: once for each version of its source, with the C compiler that set-up installed. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SkiffError } from '#foundation/base/errors.ts';

/** Beside this file. */
const sourceNames = ['shim.h', 'shim.c', 'streams.c', 'terminal.c'];
/** Static and small: hundreds may run. musl makes a tenth of what glibc does. */
const flags = ['-Wall', '-Wextra', '-Os', '-static', '-s'];

/**
 * The path of the shim's program.
 *
 * @param cache directory of what is made once.
 * @throws SkiffError FAILED_PRECONDITION if there is no compiler and none was built before.
 */
export async function shimProgram(cache: string): Promise<string> {
  const sources = sourceNames.map((name) => fileURLToPath(new URL(name, import.meta.url)));
  const hash = createHash('sha256');
  for (const path of sources) hash.update(readFileSync(path));
  const digest = hash.digest('hex').slice(0, 16);
  const program = join(cache, `shim-${digest}`);
  if (statSync(program, { throwIfNoEntry: false }) !== undefined) return program;
  const { tryCommand } = await import('#foundation/linux/command.ts');
  mkdirSync(cache, { recursive: true, mode: 0o755 });
  const fresh = `${program}.${randomBytes(4).toString('hex')}`;
  const said: string[] = [];
  for (const compiler of ['musl-gcc', 'gcc']) {
    try {
      const { exitCode, stderr } = await tryCommand({
        file: compiler,
        args: [...flags, '-o', fresh, ...sources.filter((path) => path.endsWith('.c'))],
      });
      if (exitCode === 0) {
        renameSync(fresh, program);
        return program;
      }
      said.push(`${compiler}: ${stderr.trim()}`);
    } catch (error) {
      said.push((error as Error).message);
    }
    rmSync(fresh, { force: true });
  }
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `Cannot build the shim of VM pods (${said.join('; ')}); run "skiff setup vm"`,
  );
}
