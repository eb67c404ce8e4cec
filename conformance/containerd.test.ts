/** The suite is proven against somebody else's runtime: every rule holds on Debian's containerd, or is explained. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { startContainerd } from '../bench/peers/containerd.ts';
import { areas } from './cri/areas/index.ts';
import { differences } from './cri/differences.ts';
import { startRegistry } from './cri/images/registry.ts';
import { runConformance, textReporter } from './cri/index.ts';

test('every difference names a rule that exists, and no rule is there twice', () => {
  const titles = areas.map((rule) => `${rule.area}: ${rule.name}`);
  assert.equal(new Set(titles).size, titles.length);
  for (const { rule } of differences) assert.ok(titles.includes(rule), `no such rule: ${rule}`);
});

test("Debian's containerd passes", { skip: !existsSync('/usr/bin/containerd') }, async () => {
  await using registry = await startRegistry();
  await using peer = await startContainerd(registry);
  const lines: string[] = [];
  const { failed, passed } = await runConformance({
    endpoint: peer.endpoint,
    reporter: textReporter((line) => lines.push(line)),
  });
  assert.equal(failed, 0, lines.join('\n'));
  assert.ok(passed > 100, `only ${passed} rules passed`);
});
