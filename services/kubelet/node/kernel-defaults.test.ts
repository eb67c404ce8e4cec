import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, test } from 'node:test';
import { silentLogger } from '#foundation/base/log.ts';
import { checkKernel } from './kernel-defaults.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

const good = {
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
};

function proc(sysctls: Record<string, string>, swaps = ''): string {
  const root = mkdtempSync('/tmp/skiff-proc-');
  roots.push(root);
  writeFileSync(`${root}/swaps`, `Filename Type Size Used Priority\n${swaps}`);
  for (const [name, value] of Object.entries(sysctls)) {
    mkdirSync(dirname(`${root}/sys/${name}`), { recursive: true });
    writeFileSync(`${root}/sys/${name}`, `${value}\n`);
  }
  return root;
}

const check = (root: string, failSwapOn: boolean, protectKernelDefaults: boolean) =>
  checkKernel({ failSwapOn, protectKernelDefaults, memorySwap: {} }, silentLogger, root);

test('swap is refused if the configuration says so', () => {
  const swapping = proc({}, '/dev/sda2 partition 8388604 0 -2\n');
  assert.throws(
    () => check(swapping, true, false),
    /running with swap on is not supported.*\/dev\/sda2 in use/,
  );
  check(swapping, false, false);
  check(proc({}), true, false);
});

test('parameters of the kernel are checked if they are protected, never changed', () => {
  check(proc(good), true, true);
  const wrong = proc({ ...good, 'kernel/panic': '0', 'vm/overcommit_memory': '2' });
  assert.throws(
    () => check(wrong, true, true),
    /vm\.overcommit_memory: expected value: 1, actual value: 2; kernel\.panic: expected value: 10, actual value: 0/,
  );
  check(wrong, true, false);
});
