import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchesFields, parseFieldSelector } from './fields.ts';
import { matchesLabels, parseLabelSelector, selectorRequirements } from './labels.ts';

const labels = { app: 'web', tier: 'front', size: '3' };

test('label selectors match as the original', () => {
  const table: [string, boolean][] = [
    ['', true],
    ['app=web', true],
    ['app==web,tier=front', true],
    ['app!=web', false],
    ['none!=web', true],
    ['app in (a, web)', true],
    ['app notin (a,b)', true],
    ['none notin (a)', true],
    ['none in (a)', false],
    ['app', true],
    ['!app', false],
    ['!none', true],
    ['size>2', true],
    ['size<3', false],
    ['none>1', false],
    ['app=', false],
  ];
  for (const [text, expected] of table)
    assert.equal(matchesLabels(parseLabelSelector(text), labels), expected, text);
});

test('broken label selectors say what is wrong', () => {
  for (const text of ['a b', 'a=b,', '=x', 'a in (b', 'a>x', '/a=b', 'a=-b-', 'a in'])
    assert.throws(() => parseLabelSelector(text), { code: 'INVALID_ARGUMENT' }, text);
});

test('the object form matches like the query form', () => {
  const requirements = selectorRequirements({
    matchLabels: { app: 'web' },
    matchExpressions: [
      { key: 'tier', operator: 'NotIn', values: ['back'] },
      { key: 'x', operator: 'DoesNotExist' },
    ],
  });
  assert.equal(matchesLabels(requirements, labels), true);
  assert.equal(matchesLabels(requirements, { app: 'web', x: '' }), false);
});

test('field selectors compare dotted fields, with escapes', () => {
  const pod = { metadata: { name: 'a,b' }, spec: { hostNetwork: true }, status: { phase: 'Running' } };
  assert.equal(matchesFields(parseFieldSelector('metadata.name=a\\,b,status.phase!=Failed'), pod), true);
  assert.equal(matchesFields(parseFieldSelector('spec.hostNetwork=true'), pod), true);
  assert.equal(matchesFields(parseFieldSelector('spec.nodeName='), pod), true);
  assert.equal(matchesFields(parseFieldSelector('status.phase==Pending'), pod), false);
  assert.throws(() => parseFieldSelector('nonsense'), { code: 'INVALID_ARGUMENT' });
});
