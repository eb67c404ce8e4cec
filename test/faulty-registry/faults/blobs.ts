/** Faults of blob transfers: what arrives is cut, stretched, late, or something else. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { deflateSync, gzipSync } from 'node:zlib';
import { type FaultCase, readAs, readLayer, type Scene } from '../case.ts';
import { readAll, sha256 } from '../sample.ts';
import type { Fault, FaultContext } from '../server.ts';

/** A fault that concerns blobs only, and only the first `times` requests. */
export function onBlob(
  answer: (context: FaultContext) => boolean | undefined | void | Promise<void>,
  times = 1000,
): () => Fault {
  return () => async (context) => {
    if (context.kind !== 'blob' || context.request.method !== 'GET' || context.nth > times) return false;
    return (await answer(context)) !== false;
  };
}

/** Sends 100,000 bytes from where it was asked to, says that there are more, and breaks the connection. */
function broken({ response, content, rangeStart = 0 }: FaultContext): void {
  const { length } = content;
  const headers = { 'content-length': length - rangeStart };
  if (rangeStart === 0) response.writeHead(200, headers);
  else
    response.writeHead(206, { ...headers, 'content-range': `bytes ${rangeStart}-${length - 1}/${length}` });
  response.write(content.subarray(rangeStart, rangeStart + 100_000), () =>
    response.socket?.resetAndDestroy(),
  );
}

/** Breaks the first transfer and answers the second as told. */
function brokenThen(answer: (context: FaultContext) => boolean | undefined | void | Promise<void>) {
  return onBlob((context) => (context.nth === 1 ? broken(context) : answer(context)), 2);
}

/** Answers a Range with the whole. */
function whole({ response, content }: FaultContext): void {
  response.writeHead(200, { 'content-length': content.length }).end(content);
}

/** The Range headers of the requests for blobs. */
export function ranges({ registry }: Scene): (string | undefined)[] {
  return registry.hits.filter(({ path }) => path.includes('/blobs/')).map(({ headers }) => headers.range);
}

function body(make: (content: Buffer) => Buffer, headers: Record<string, string> = {}, length = true) {
  return onBlob(({ response, content }) => {
    const bytes = make(content);
    response.writeHead(200, { ...headers, ...(length ? { 'content-length': String(bytes.length) } : {}) });
    response.write(bytes);
    response.end();
  });
}

const longer = (content: Buffer) => Buffer.concat([content, Buffer.alloc(1000)]);
const shorter = (content: Buffer) => content.subarray(0, -1000);
const asIs = (content: Buffer) => content;

export const blobFaults: FaultCase[] = [
  {
    name: 'the connection is reset in the middle, again and again, and Range helps',
    fault: onBlob(broken, 2),
    after: (scene) => {
      const [first, ...later] = ranges(scene);
      assert.equal(first, undefined);
      assert.equal(later.length, 2);
      for (const range of later) assert.match(range ?? '', /^bytes=[1-9]\d*-$/);
    },
  },
  { name: 'the connection is reset, and Range is answered with 200', fault: brokenThen(whole) },
  {
    name: 'the connection is reset every time, and Range is never heeded',
    fault: onBlob((context) => broken({ ...context, rangeStart: 0 })),
    fails: { code: 'UNKNOWN', says: /\d+ of 300000 bytes and 4 attempts without progress/ },
  },
  {
    name: 'Range is answered with 416',
    fault: brokenThen(({ response, rangeStart }) => {
      assert.notEqual(rangeStart, undefined);
      response.writeHead(416, { 'content-range': 'bytes */300000' }).end();
    }),
    after: (scene) => assert.deepEqual(ranges(scene).slice(2), [undefined], 'the third asks for all'),
  },
  {
    name: 'Range is answered from a later byte',
    fault: brokenThen(({ response, content, rangeStart = 0 }) => {
      const start = rangeStart + 1000;
      response.writeHead(206, { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` });
      response.end(content.subarray(start));
    }),
  },
  {
    name: 'Range is answered from an earlier byte',
    fault: brokenThen(({ response, content, rangeStart = 0 }) => {
      const start = rangeStart - 1;
      response.writeHead(206, { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` });
      response.end(content.subarray(start));
    }),
    after: (scene) => assert.equal(ranges(scene).length, 2),
  },
  {
    name: 'Range is answered with 206 and no Content-Range',
    fault: brokenThen(({ response, content, rangeStart = 0 }) => {
      response.writeHead(206).end(content.subarray(rangeStart));
    }),
    after: (scene) => assert.equal(ranges(scene).length, 3),
  },
  {
    name: 'Range is answered in many short pieces',
    fault: onBlob(({ response, content, rangeStart = 0 }) => {
      const end = Math.min(content.length, rangeStart + 70_000);
      const range = `bytes ${rangeStart}-${end - 1}/${content.length}`;
      response.writeHead(rangeStart === 0 ? 200 : 206, rangeStart === 0 ? {} : { 'content-range': range });
      response.end(content.subarray(rangeStart, end));
    }),
    after: (scene) => assert.ok(ranges(scene).length >= 5),
  },
  {
    name: 'the blob has another size when the transfer is taken up again',
    fault: brokenThen(({ response, content, rangeStart = 0 }) => {
      response.writeHead(206, { 'content-range': `bytes ${rangeStart}-999999/1000000` });
      response.end(content.subarray(rangeStart));
    }),
    fails: { code: 'DATA_LOSS', says: /has 1000000 bytes for this blob, its manifest says 300000/ },
  },
  {
    name: 'the blob is gone when the transfer is taken up again',
    fault: brokenThen(({ response }) => {
      response.writeHead(404).end();
    }),
    fails: { code: 'NOT_FOUND', says: /not found/ },
  },
  {
    name: '206 without having been asked for a range',
    fault: onBlob(({ response, content }) => {
      response.writeHead(206, { 'content-range': 'bytes 0-299999/300000' }).end(content);
    }),
    fails: { code: 'FAILED_PRECONDITION', says: /answered 206/ },
  },
  {
    name: 'a download that goes on from what is on disk',
    does: (scene) => readLayer(scene, 123_456),
    after: (scene) => assert.deepEqual(ranges(scene), ['bytes=123456-']),
  },
  {
    name: 'a download that goes on where Range is not heeded',
    does: (scene) => readLayer(scene, 123_456),
    fault: onBlob(whole),
  },
  {
    name: 'all of the blob is on disk',
    does: (scene) => readLayer(scene, 300_000),
    after: (scene) => assert.deepEqual(scene.registry.hits, []),
  },
  {
    name: 'Content-Length is larger than the blob',
    fault: body(longer),
    fails: { code: 'DATA_LOSS', says: /has 301000 bytes for this blob, its manifest says 300000/ },
  },
  {
    name: 'Content-Length is smaller than the blob',
    fault: body(shorter),
    fails: { code: 'DATA_LOSS', says: /has 299000 bytes for this blob, its manifest says 300000/ },
  },
  {
    name: 'a chunked blob that is too long',
    fault: body(longer, {}, false),
    fails: { code: 'DATA_LOSS', says: /sends more than the 300000 bytes/ },
  },
  {
    name: 'a chunked blob that is too short',
    fault: onBlob(({ response, content, rangeStart }) => {
      response.writeHead(rangeStart === undefined ? 200 : 416);
      response.end(rangeStart === undefined ? shorter(content) : undefined);
    }),
    fails: { code: 'DATA_LOSS', says: /ended the transfer early, after 299000 of 300000 bytes/ },
  },
  { name: 'a chunked blob without a length', fault: body(asIs, {}, false) },
  {
    name: 'Content-Length lies: fewer bytes come than it says',
    fault: onBlob((context) => {
      const { request, content } = context;
      const head = `HTTP/1.1 200 OK\r\ncontent-length: ${content.length}\r\n\r\n`;
      request.socket.end(Buffer.concat([Buffer.from(head), shorter(content)]));
    }, 1),
  },
  {
    name: 'Content-Length lies: more bytes come than it says',
    fault: onBlob(({ request, content }) => {
      const head = `HTTP/1.1 200 OK\r\ncontent-length: ${content.length}\r\n\r\n`;
      request.socket.end(Buffer.concat([Buffer.from(head), longer(content)]));
    }),
  },
  {
    name: 'the content is another one of the same length',
    fault: body((content) => Buffer.alloc(content.length, 7)),
    does: async ({ client, reference, registry: { image } }) => {
      const content = await readAll(await client.openBlob(reference, image.layer));
      assert.equal(content.length, image.layer.size);
      assert.notEqual(sha256(content), image.layer.digest, 'the digest is for the reader to verify');
    },
  },
  {
    name: 'the transfer stalls once',
    fault: onBlob(({ response, content }) => {
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 100_000));
    }, 1),
    after: (scene) => assert.equal(ranges(scene)[1], 'bytes=100000-'),
  },
  {
    name: 'the transfer stalls every time',
    fault: onBlob(({ response, content }) => {
      response.writeHead(200, { 'content-length': content.length }).flushHeaders();
    }),
    fails: { code: 'UNKNOWN', says: /sent nothing for 250 ms, after 0 of 300000 bytes/ },
  },
  {
    name: 'the transfer drips every time',
    fault: onBlob((context) => drip({ ...context, rangeStart: undefined })),
    limits: { attempts: 2 },
    fails: { code: 'UNKNOWN', says: /sent only \d+ bytes in 500 ms/ },
  },
  { name: 'the transfer drips once', fault: onBlob(drip, 1) },
  {
    name: 'the reader is slow, which is no stall',
    // More than all buffers on the way hold.
    layerBytes: 20_000_000,
    does: async ({ client, reference, registry: { image } }) => {
      const stream = await client.openBlob(reference, image.layer);
      await sleep(900);
      assert.equal(sha256(await readAll(stream)), image.layer.digest);
    },
    after: (scene) => assert.equal(ranges(scene).length, 1, 'one transfer was enough'),
  },
  {
    name: 'the blob is gzip-encoded on the way',
    fault: body(gzipSync, { 'content-encoding': 'gzip' }),
  },
  {
    name: 'the blob is gzip-encoded on the way, and breaks',
    fault: onBlob(({ response, content, nth }) => {
      const bytes = gzipSync(content);
      response.writeHead(200, { 'content-encoding': 'gzip' });
      if (nth > 1) response.end(bytes);
      else response.write(bytes.subarray(0, 150_000), () => response.socket?.resetAndDestroy());
    }, 2),
  },
  {
    name: 'the blob is deflate-encoded on the way',
    fault: body(deflateSync, { 'content-encoding': 'deflate' }),
  },
  {
    name: 'Content-Encoding gzip is a mere label of what the blob is',
    fault: body(asIs, { 'content-encoding': 'gzip' }),
  },
  {
    name: 'the gzip encoding is broken',
    fault: body(() => Buffer.from('no gzip'), { 'content-encoding': 'gzip' }),
    fails: { code: 'UNKNOWN', says: /broke off the transfer \(Z_DATA_ERROR\)/ },
  },
  {
    name: 'the gzip encoding is a bomb',
    fault: body(() => gzipSync(Buffer.alloc(20_000_000)), { 'content-encoding': 'gzip' }),
    fails: { code: 'DATA_LOSS', says: /sends more than the 300000 bytes/ },
  },
  {
    name: 'an encoding that nobody knows',
    fault: body(shorter, { 'content-encoding': 'compress' }),
    fails: { code: 'FAILED_PRECONDITION', says: /in an unknown encoding, "compress"/ },
  },
  {
    name: 'a login page instead of the blob',
    fault: body(() => Buffer.from('<html>Welcome to our hotel</html>'), { 'content-type': 'text/html' }),
    fails: { code: 'DATA_LOSS', says: /has 33 bytes for this blob/ },
  },
  {
    name: 'no answer to the first request, and the connection is closed',
    fault: onBlob(({ request }) => void request.socket.destroy(), 1),
  },
  {
    name: 'an offset beyond the end',
    does: (scene) => readLayer(scene, 300_001),
    fails: { code: 'INVALID_ARGUMENT', says: /no byte 300001 in a blob of 300000 bytes/ },
  },
  {
    name: 'an empty blob',
    does: readAs({ size: 0, digest: sha256(Buffer.alloc(0)) }),
    after: (scene) => assert.deepEqual(scene.registry.hits, []),
  },
  {
    name: 'a foreign layer is fetched from its own address, without credentials',
    auth: { username: 'user', password: 'secret' },
    fault: onBlob(({ response }) => void response.writeHead(404).end()),
    does: readAs(({ other, registry }) =>
      foreign(`${other.url}/v2/app/blobs/${registry.image.layer.digest}`),
    ),
    after: ({ other }) => {
      assert.equal(other.hits.length, 1);
      assert.equal(other.hits[0]?.headers.authorization, undefined);
    },
  },
  {
    name: 'a foreign layer names a cloud metadata service',
    fault: onBlob(({ response }) => void response.writeHead(404).end()),
    does: readAs(foreign('http://169.254.169.254/latest/meta-data/')),
    fails: { code: 'NOT_FOUND', says: /not found/ },
  },
  {
    name: 'a plain layer with addresses of its own is not fetched from there',
    fault: onBlob(({ response }) => void response.writeHead(404).end()),
    does: readAs(({ other }) => ({ urls: [`${other.url}/v2/app/blobs/x`] })),
    fails: { code: 'NOT_FOUND', says: /not found/ },
    after: ({ other }) => assert.equal(other.hits.length, 0),
  },
];

/** Sends a few bytes a second; a second request, with a Range, is answered with all. */
export async function drip({ response, content, rangeStart }: FaultContext): Promise<void> {
  if (rangeStart !== undefined) {
    response.writeHead(200).end(content);
    return;
  }
  response.writeHead(200, { 'content-length': content.length });
  for (let at = 0; at < content.length && !response.destroyed; at += 10) {
    response.write(content.subarray(at, at + 10));
    await sleep(50);
  }
}

function foreign(url: string) {
  const mediaType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
  return { mediaType, urls: ['gopher://old/layer', url] };
}
