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

/** Rules that failed once are judged again by themselves: another's hiccup on a busy machine is no fault of the rule. */
test("Debian's containerd passes", { skip: !existsSync('/usr/bin/containerd') }, async () => {
  await using registry = await startRegistry();
  await using peer = await startContainerd(registry);
  const lines: string[] = [];
  const reporter = textReporter((line) => lines.push(line));
  const judge = (only?: RegExp) =>
    runConformance({ endpoint: peer.endpoint, reporter, ...(only === undefined ? {} : { only }) });
  const { results, passed } = await judge();
  assert.ok(passed > 100, `only ${passed} rules passed`);
  const failed = results.filter(({ verdict }) => verdict.kind === 'failed');
  if (failed.length === 0) return;
  const titles = failed.map(({ area, name }) => RegExp.escape(`${area}: ${name}`));
  assert.equal((await judge(new RegExp(`^(${titles.join('|')})$`))).failed, 0, lines.join('\n'));
});
