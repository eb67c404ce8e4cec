/** Skiff passes its own suite, without any difference to explain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSkiff } from '../bench/peers/skiff.ts';
import { runConformance, textReporter } from './cri/index.ts';

test('Skiff passes', async () => {
  await using peer = await startSkiff();
  const lines: string[] = [];
  const { failed, differs, passed } = await runConformance({
    endpoint: peer.endpoint,
    reporter: textReporter((line) => lines.push(line)),
  });
  assert.equal(failed + differs, 0, lines.join('\n'));
  assert.ok(passed > 100, `only ${passed} rules passed`);
});
