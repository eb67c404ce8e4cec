/** Parts of the guest's own programs, compiled for this machine with sanitizers, against models and mutated bytes. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { runCommand } from '#foundation/linux/command.ts';
import { agentFlags, agentSources } from './agent.ts';

const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

/** Compiles `sources` of the guest's folder and runs them. @returns what they said. */
async function run(t: TestContext, sources: string[], args: string[]): Promise<string> {
  const work = mkdtempSync('/tmp/skiff-w');
  t.after(() => rmSync(work, { recursive: true, force: true }));
  const program = `${work}/program`;
  const files = sources.map((name) => `${agentSources}/${name}`);
  const compile = (flags: string[]) =>
    runCommand({
      file: 'gcc',
      args: [...agentFlags, '-g', '-O1', ...flags, '-DSELF_DRIVEN', '-o', program, ...files],
      timeoutMs: 120_000,
    });
  // A compiler without the sanitizers' libraries still runs what the programs check themselves.
  await compile(sanitizers).catch(() => compile([]));
  const { stdout } = await runCommand({ file: program, args, timeoutMs: 240_000 });
  return stdout.toString();
}

test('the parser reads what was written however it is cut, and survives 30,000 mutated inputs', async (t) => {
  const said = await run(t, ['test/wire.c', 'frames.c', 'proto.c'], ['30000', '1']);
  assert.match(said, /^fine: 30000 rounds/);
});

test('streams carry every byte and then the end, in whatever order host, process and PID 1 act', async (t) => {
  const said = await run(t, ['test/streams.c', 'streams.c', 'frames.c'], ['300', '1']);
  assert.match(said, /^fine: 300 rounds/);
});

test('launch survives 30,000 mutated programs whatever the kernel answers', async (t) => {
  const names = ['steps', 'groups', 'root', 'process'].map((name) => `launch/${name}.c`);
  const said = await run(t, ['test/steps.c', ...names], ['30000', '1']);
  assert.match(said, /^fine: 30000 rounds, [1-9]\d{2,} programs/);
});
