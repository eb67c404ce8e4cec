import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type { PluginCall } from '../../cni/types.ts';
import { allocate, hostLocalSchema, release } from './index.ts';

const signal = new AbortController().signal;

function setUp(t: TestContext) {
  const directory = mkdtempSync('/tmp/skiff-hl-');
  t.after(() => rmSync(directory, { recursive: true }));
  const ipam = hostLocalSchema.parse({ type: 'host-local', subnet: '10.7.0.0/24', dataDir: directory });
  const call = (containerId: string): PluginCall => ({
    verb: 'ADD',
    containerId,
    netns: '',
    ifName: 'eth0',
    args: '',
    config: { type: 'bridge', name: 'net', cniVersion: '1.0.0' },
  });
  const take = async (id: string) =>
    (await allocate(call(id), ipam, [], signal)).ips.map(({ address }) => address);
  return {
    take,
    give: (id: string) => release(call(id), ipam, signal),
    last: `${directory}/net/last_reserved_ip.0`,
    directory,
  };
}

test('the file of the last address holds one address, whether it grows or shrinks, and stays one file', async (t) => {
  const { take, last } = setUp(t);
  assert.deepEqual(await take('a'), ['10.7.0.2/24']);
  writeFileSync(last, '10.7.0.253');
  const { ino } = statSync(last);
  assert.deepEqual(await take('b'), ['10.7.0.254/24']);
  assert.equal(readFileSync(last, 'utf8'), '10.7.0.254');
  assert.deepEqual(await take('c'), ['10.7.0.3/24'], 'round, past the one that is taken');
  assert.equal(readFileSync(last, 'utf8'), '10.7.0.3');
  assert.equal(statSync(last).ino, ino);
});

test('half an address that a crash left is no address: the search begins at the beginning', async (t) => {
  const { take, give, last, directory } = setUp(t);
  await take('a');
  for (const rubbish of ['', '10.7.0.1254', '10.7.', 'rubbish\n']) {
    writeFileSync(last, rubbish);
    assert.deepEqual(await take('b'), ['10.7.0.3/24'], JSON.stringify(rubbish));
    await give('b');
  }
  assert.deepEqual(
    readdirSync(`${directory}/net`).filter((name) => name.startsWith('10.')),
    ['10.7.0.2'],
  );
});
