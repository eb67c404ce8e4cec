import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from './program.ts';

/** Parses a command line, and tells the `--root` that the verb would get. */
async function rootOf(...words: string[]): Promise<unknown> {
  const program = createProgram();
  let seen: unknown;
  const listen = (command: Command) => {
    command.action(function (this: Command) {
      seen = this.optsWithGlobals<{ root?: string }>().root;
    });
    command.commands.forEach(listen);
  };
  program.commands.forEach(listen);
  await program.parseAsync(words, { from: 'user' });
  return seen;
}

test('--root stands before or after the verb', async () => {
  assert.equal(await rootOf('--root', '/r', 'ps'), '/r');
  assert.equal(await rootOf('ps', '--root', '/r'), '/r');
  assert.equal(await rootOf('image', 'prune', '--root', '/r'), '/r');
  assert.equal(await rootOf('up', '-d', '--root', '/r', 'pod.yaml'), '/r');
  assert.equal(await rootOf('ps'), undefined);
});

test("what belongs to a container's command is not taken", async () => {
  assert.equal(await rootOf('exec', 'web', '--', 'ls', '--root', '/r'), undefined);
});

test('every verb of images takes --json', () => {
  const { commands } = createProgram();
  const image = commands.find((each) => each.name() === 'image')?.commands ?? [];
  const names = ['images', 'pull', 'rmi', 'push', 'save', 'load', 'tag', 'inspect'];
  const verbs = [...commands.filter((each) => names.includes(each.name())), ...image];
  assert.equal(verbs.length, names.length + 4);
  for (const verb of verbs)
    assert.ok(
      verb.options.some(({ long }) => long === '--json'),
      verb.name(),
    );
});
