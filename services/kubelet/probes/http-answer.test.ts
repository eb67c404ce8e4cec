import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, answerReader } from './http-answer.ts';

/** Reads the text in pieces of so many bytes, then the end of the connection. */
function read(text: string, piece: number): Answer {
  const bytes = Buffer.from(text, 'latin1');
  const scratch = Buffer.alloc(piece);
  const reader = answerReader();
  for (let at = 0; at < bytes.length; at += piece) {
    // What was given is overwritten by the next piece, as on a real connection.
    const size = bytes.copy(scratch, 0, at, at + piece);
    const answer = reader.take(scratch.subarray(0, size));
    if (answer !== undefined) return answer;
  }
  return reader.end();
}

const whole: [what: string, text: string, answer: Partial<Answer>][] = [
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyMORE', { status: 200, body: 'body' }],
  ['no body', 'HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n', { status: 204, body: '' }],
  ['a length of nothing', 'HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n', { status: 503, body: '' }],
  ['the end of the connection', 'HTTP/1.0 200 OK\r\n\r\nall of it', { status: 200, body: 'all of it' }],
  ['no reason', 'HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n', { status: 404 }],
  ['lines that end with LF', 'HTTP/1.1 200 OK\nContent-Length:2\n\nok', { status: 200, body: 'ok' }],
  [
    'chunks with extensions and a trailer',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n00B\r\n, and more.\r\n0\r\nX: y\r\n\r\n',
    { status: 200, body: 'body, and more.' },
  ],
  [
    'interim answers before',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    { status: 200, body: 'ok' },
  ],
  ['another protocol', 'HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n', { status: 101 }],
  [
    'a redirect',
    'HTTP/1.1 302 Found\r\nlocation:  /there \r\nContent-Length: 0\r\n\r\n',
    { status: 302, location: '/there' },
  ],
];

const broken: [what: string, text: string, message: RegExp][] = [
  ['nothing', '', /^EOF$/],
  ['another protocol', 'SSH-2.0-x\r\n\r\n', /malformed HTTP response "SSH-2.0-x"/],
  ['half a head', 'HTTP/1.1 200 OK\r\nA: b\r\n', /^unexpected EOF$/],
  ['a header without a name', 'HTTP/1.1 200 OK\r\n: b\r\n\r\n', /malformed MIME header/],
  ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n', /bad Content-Length "-1"/],
  ['less than the length', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody', /^unexpected EOF$/],
  ['half a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbody', /^unexpected EOF$/],
  ['no size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', /invalid byte in chunk/],
  [
    'data beyond its chunk',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n',
    /malformed chunked/,
  ],
  ['an endless head', `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(20_000)}`, /headers exceeded 65536 bytes/],
  [
    'endless extensions',
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(100_000)}`,
    /too much non-data/,
  ],
];

for (const piece of [1, 7, 1 << 20]) {
  test(`answers are read in pieces of ${piece} bytes`, () => {
    for (const [what, text, answer] of whole) {
      const { status, body, location } = read(text, piece);
      assert.deepEqual({ status, body, location, ...answer }, { status, body, location }, what);
    }
  });

  test(`what is no answer says so, in pieces of ${piece} bytes`, () => {
    for (const [what, text, message] of broken) assert.throws(() => read(text, piece), { message }, what);
  });
}

test('ten kilobytes of a body are kept, and no more is waited for', () => {
  const heads = ['Content-Length: 99999\r\n\r\n', '\r\n', `Transfer-Encoding: chunked\r\n\r\nffff\r\n`];
  for (const head of heads)
    assert.equal(read(`HTTP/1.1 200 OK\r\n${head}${'x'.repeat(20_000)}`, 4096).body, 'x'.repeat(10 * 1024));
});
