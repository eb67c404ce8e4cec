import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressNumber,
  contains,
  formatAddress,
  lastOf,
  numberAddress,
  parseAddress,
  parseNetwork,
} from './ip.ts';

test('addresses survive parsing and formatting in their shortest form', () => {
  for (const text of [
    '0.0.0.0',
    '10.1.2.255',
    '::',
    '::1',
    'fd00::1',
    '1:2:3:4:5:6:7:8',
    'fe80:0:0:1::2',
    '1::',
  ])
    assert.equal(formatAddress(parseAddress(text)), text);
  assert.equal(formatAddress(parseAddress('2001:DB8:0:0:0:0:0:1')), '2001:db8::1');
  assert.equal(formatAddress(parseAddress('::ffff:1.2.3.4')), '::ffff:102:304');
  for (const text of ['', '1.2.3', '1.2.3.256', 'fe80::1%eth0', ':::'])
    assert.throws(() => parseAddress(text), { code: 'INVALID_ARGUMENT' });
});

test('networks know their first and last address', () => {
  const network = parseNetwork('10.88.3.7/24');
  assert.equal(numberAddress(network.base, 4), '10.88.3.0');
  assert.equal(numberAddress(lastOf(network), 4), '10.88.3.255');
  assert.equal(contains(network, '10.88.3.200'), true);
  assert.equal(contains(network, '10.88.4.0'), false);
  assert.equal(contains(network, '::10.88.3.1'), false);
  assert.equal(numberAddress(addressNumber('fd00::ff') + 1n, 6), 'fd00::100');
  for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/x', 'a/8'])
    assert.throws(() => parseNetwork(text), { code: 'INVALID_ARGUMENT' });
});
