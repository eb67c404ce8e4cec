/** The guest's parser of the host's bytes, compiled for this machine with sanitizers: its tests, then mutated frames. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { runCommand } from '#foundation/linux/command.ts';
import { agentFlags, agentSources } from './agent.ts';

const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

test('the parser reads what was written however it is cut, and survives 30,000 mutated inputs', async (t) => {
  const work = mkdtempSync('/tmp/skiff-w');
  t.after(() => rmSync(work, { recursive: true, force: true }));
  const program = `${work}/wire`;
  const sources = ['test/wire.c', 'frames.c', 'proto.c'].map((name) => `${agentSources}/${name}`);
  const args = [...agentFlags, '-g', '-O1', ...sanitizers, '-DSELF_DRIVEN', '-o', program, ...sources];
  await runCommand({ file: 'gcc', args, timeoutMs: 120_000 });
  const { stdout } = await runCommand({ file: program, args: ['30000', '1'], timeoutMs: 240_000 });
  assert.match(stdout.toString(), /^fine: 30000 rounds/);
});
