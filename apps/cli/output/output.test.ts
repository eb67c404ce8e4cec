import assert from 'node:assert/strict';
import { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { LayerState, PullProgressSchema, PullState } from '#contracts/admin/admin_pb.ts';
import { progressBar } from './bar.ts';
import { liveBlock } from './live.ts';
import { prefixer } from './prefix.ts';
import { pullLines, pullSteps } from './pull-lines.ts';
import { stylesFor } from './styles.ts';
import { table } from './table.ts';
import { age, bytes } from './units.ts';

test('tables line up also where cells are coloured', () => {
  const styles = stylesFor(true);
  const lines = table(
    ['A', 'LONG'],
    [
      [styles.red('aaaa'), 'x'],
      ['b', ''],
    ],
  );
  assert.deepEqual(lines, ['A      LONG', `${styles.red('aaaa')}   x`, 'b']);
});

test('ages and sizes read as kubectl and docker print them', () => {
  const seconds = (count: number) => age(count * 1000);
  assert.deepEqual([5, 119, 192, 180, 3600, 4 * 3600, 50 * 3600].map(seconds), [
    '5s',
    '119s',
    '3m12s',
    '3m',
    '60m',
    '4h',
    '2d',
  ]);
  assert.deepEqual([0, 999, 1000, 12_345_678, 999_900_000n].map(bytes), [
    '0B',
    '999B',
    '1.00kB',
    '12.3MB',
    '1000MB',
  ]);
});

test('bars fill up and know totals that nobody knows', () => {
  assert.equal(progressBar(0, 100), `[>${' '.repeat(23)}] 0B/100B`);
  assert.equal(progressBar(100, 100), `[${'='.repeat(24)}] 100B/100B`);
  assert.equal(progressBar(5, 0), '5B');
});

test('prefixes stand before whole lines, also when a character is cut in two', async () => {
  const bytesOf = Buffer.from('grüße\nzwei');
  const cut = [bytesOf.subarray(0, 3), bytesOf.subarray(3)];
  assert.equal(await text(Readable.from(cut).pipe(prefixer('p| '))), 'p| grüße\np| zwei\n');
});

test('a live block prints each change once without a terminal and redraws with one', () => {
  const written: string[] = [];
  const out = new Writable({
    write(chunk, _encoding, done) {
      written.push(String(chunk));
      done();
    },
  });
  const plain = liveBlock({ out, interactive: false, width: 80 });
  plain.show(['a', 'b']);
  plain.show(['a', 'c']);
  assert.equal(written.join(''), 'a\nb\nc\n');
  written.length = 0;
  const live = liveBlock({ out, interactive: true, width: 10 });
  live.show(['one']);
  live.show(['a line far too long']);
  live.print('said');
  assert.equal(written.join(''), 'one\n\u001b[1F\u001b[Ja line fa\n\u001b[1F\u001b[Jsaid\na line fa\n');
});

test('a pull of more layers than the terminal has rows shows those under way and counts the others', () => {
  const states = [LayerState.READY, LayerState.EXISTS, LayerState.DOWNLOADING, LayerState.UNPACKING];
  const layers = Array.from({ length: 60 }, (_, at) => ({
    digest: `sha256:${String(at).padStart(64, '0')}`,
    state: states[Math.floor(at / 2)] ?? LayerState.WAITING,
    done: 0n,
    total: 1000n,
  }));
  const pull = create(PullProgressSchema, { image: 'x', state: PullState.PULLING, layers });
  assert.equal(pullLines(pull, 61).length, 61);
  const few = pullLines(pull, 23);
  assert.deepEqual(few.length, 6, 'the image, four layers under way, the count');
  assert.match(few.at(-1) ?? '', /^ {2}4 of 60 layers done {2}\[=> +\] 4.00kB\/60.0kB$/);
  assert.equal(pullLines(pull, 3).length, 3);
  assert.deepEqual(pullSteps(pull).length, 5, 'elsewhere only what is done is told');

  const written: string[] = [];
  const out = new Writable({
    write(chunk, _encoding, done) {
      written.push(String(chunk));
      done();
    },
  });
  const block = liveBlock({ out, interactive: true, width: 80, height: 4 });
  block.show(['1', '2', '3', '4', '5']);
  block.show(['6']);
  assert.equal(written.join(''), '1\n2\n3\n\u001b[3F\u001b[J6\n', 'never more than can be drawn over');
});
