/** Builds the small programs of the host that are C: once for each version of their sources. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';

/** Static and small: hundreds may run. musl makes a tenth of what glibc does. */
const flags = ['-Wall', '-Wextra', '-Os', '-static', '-s'];

/** A program. */
export interface NativeProgram {
  /** Begins its file's name. */
  name: string;
  /** Paths; headers count for the version only. */
  sources: readonly string[];
}

/**
 * The path of a program.
 *
 * @param cache directory of what is made once.
 * @throws SkiffError FAILED_PRECONDITION if there is no compiler and none was built before.
 */
export async function nativeProgram(cache: string, { name, sources }: NativeProgram): Promise<string> {
  const hash = createHash('sha256');
  for (const path of sources) hash.update(readFileSync(path));
  const digest = hash.digest('hex').slice(0, 16);
  const program = join(cache, `${name}-${digest}`);
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
    `Cannot build the ${name} of pod VMs (${said.join('; ')}); run "skiff setup vm"`,
  );
}
