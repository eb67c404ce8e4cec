/** The judge of the cases, judged: what is not as wanted is found, and what is, is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { fillIn, readCases } from './case.ts';
import { eventsOf } from './event-log.ts';
import { differences, textDifferences } from './match.ts';

const rows: [string, unknown, unknown, boolean][] = [
  ['the very value', 'a', 'a', true],
  ['another value', 'a', 'b', false],
  ['a number for a text', 1, '1', false],
  ['a pattern', '~^a+$', 'aaa', true],
  ['a pattern that is not there', '~^a+$', 'b', false],
  ['a pattern of nothing', '~', undefined, false],
  ['at least', '>=2', 2, true],
  ['too little', '>=2', 1, false],
  ['a comparison with nothing', '<5', undefined, false],
  ['nothing', null, undefined, true],
  ['something instead of nothing', null, 0, false],
  ['some fields of an object', { a: 1 }, { a: 1, b: 2 }, true],
  ['a missing field', { a: 1 }, {}, false],
  ['an object instead of nothing', { a: null }, undefined, false],
  ['a list', ['a', '~b'], ['a', 'bb'], true],
  ['a longer list', ['a'], ['a', 'b'], false],
  ['another order', ['a', 'b'], ['b', 'a'], false],
];

for (const [name, wanted, actual, fits] of rows) {
  test(`comparing ${name}`, () => assert.equal(differences(wanted, actual).length === 0, fits));
}

test('texts', () => {
  assert.deepEqual(textDifferences({ exactly: 'a\n', has: ['^a$'] }, 'a\n', 'x'), []);
  assert.equal(textDifferences({ exactly: 'a', has: ['^b$', 'a'] }, 'a\n', 'x').length, 2);
});

test('events of both kinds of logs', () => {
  const klog = String.raw`I1121 12:00:00.000000  1 event.go:389] "Event occurred" object="default/a-n" fieldPath="" kind="Pod" apiVersion="v1" type="Warning" reason="Failed" message="say \"no\"\nagain"`;
  const block = `I1121 12:00:00.000001  1 event.go:389] "Event occurred" object="default/a-n" reason="Unhealthy" message=<`;
  const lines = `${block}\n\tcat: "x":\n\t\tno such file\n >\n`;
  const json = '{"level":30,"event":"Pulled","type":"Normal","namespace":"ns","name":"b-n","message":"m"}';
  assert.deepEqual(eventsOf(`x\n${klog}\n${lines}${json}\n{"level":30}\n{"half`), [
    { namespace: 'default', name: 'a-n', reason: 'Failed', message: 'say "no"\nagain' },
    { namespace: 'default', name: 'a-n', reason: 'Unhealthy', message: 'cat: "x":\n\tno such file' },
    { namespace: 'ns', name: 'b-n', reason: 'Pulled', message: 'm' },
  ]);
});

test('every case can be read, is named after its pod, and there are enough of them', () => {
  const cases = readCases();
  assert.ok(cases.length >= 60, `${cases.length} cases`);
  for (const { name, pod = name, manifest, needs } of cases) {
    if (name === 'bad-yaml') continue;
    const words = { image: 'i', registry: 'r', dir: '/d', port: '1' };
    const [document] = parseAllDocuments(fillIn(manifest, words), { uniqueKeys: false });
    const parsed = document?.toJS({ maxAliasCount: 10_000 }) as { metadata: { name: string } } | undefined;
    assert.equal(parsed?.metadata.name, pod, name);
    assert.equal(
      manifest.includes('{{dir}}'),
      needs.includes('host-files'),
      `${name} uses files of the host`,
    );
  }
});
