import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  canonicalQuantity,
  compareQuantities,
  milliUnits,
  parseQuantity,
  quantity,
  wholeUnits,
} from './quantity.ts';

test('quantities are written back in canonical form', () => {
  const table: Record<string, string> = {
    '0': '0',
    '0.5': '500m',
    '1000m': '1',
    '1024Mi': '1Gi',
    '1.5Gi': '1536Mi',
    '1500M': '1500M',
    '1000Ki': '1000Ki',
    '100Mi': '100Mi',
    '0.5Ki': '512',
    '1e3': '1e3',
    '1E': '1E',
    '-1500m': '-1500m',
    '+2': '2',
    '.5': '500m',
    '5.': '5',
    '0.0000000001': '1n',
    '1.0000000001Gi': '1073741824107374183n',
    '99999999999999999999': '9223372036854775807',
  };
  for (const [text, expected] of Object.entries(table)) assert.equal(canonicalQuantity(text), expected, text);
});

test('what is no quantity is refused with its text', () => {
  for (const text of ['', 'x', '1Zi', '1 Gi', '--1', '1mm', '.', 'NaN', '1e', '1e9999', '1'.repeat(500)])
    assert.throws(() => quantity(text), { code: 'INVALID_ARGUMENT' }, text);
});

test('amounts compare and round exactly', () => {
  assert.equal(compareQuantities(quantity('1Gi'), quantity('1024Mi')), 0);
  assert.ok(compareQuantities(quantity('1G'), quantity('1Gi')) < 0);
  assert.equal(milliUnits(quantity('1.0001')), 1001n);
  assert.equal(wholeUnits(quantity('100m')), 1n);
  assert.equal(parseQuantity('1.5Ki'), 1536);
});
