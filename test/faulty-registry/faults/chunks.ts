/** Faults of uploads that go on in pieces. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import type { FaultCase, Scene } from '../case.ts';
import { describe } from '../sample.ts';
import { type Fault, type FaultContext, readRequest, sendJson } from '../server.ts';

const content = Buffer.from(Array.from({ length: 400_000 }, (_, at) => (at * 7) % 251));
const layer = describe('application/vnd.oci.image.layer.v1.tar', content);
const limits = { chunkBytes: 100_000 };

async function push({ client, reference }: Scene): Promise<void> {
  const outcome = await client.pushBlob(
    reference,
    layer,
    ({ start, end } = { start: 0, end: content.length }) =>
      Readable.from([content.subarray(start, end + 1)], { objectMode: false }),
  );
  assert.equal(outcome, 'pushed');
}

function arrived({ registry }: Scene): void {
  assert.ok(registry.image.blobs.get(layer.digest)?.equals(content), 'the blob is not there');
}

const methods = ({ registry }: Scene) => registry.hits.map(({ method }) => method).join(' ');
const starts = ({ registry }: Scene) =>
  registry.hits.filter(({ method }) => method === 'PATCH').map((hit) => hit.headers['content-range']);

/** Breaks every upload in one request, and lets `then` see the others. */
function inPieces(then: (context: FaultContext) => boolean | Promise<boolean> = () => false) {
  return (): Fault => async (context) => {
    const { kind, request } = context;
    if (kind !== 'upload') return false;
    if (request.method !== 'PUT' || request.headers['content-length'] === '0') return then(context);
    request.socket.resetAndDestroy();
    return true;
  };
}

const nthPatch = ({ request, nth }: FaultContext, wanted: number) =>
  request.method === 'PATCH' && nth === wanted;

export const chunkFaults: FaultCase[] = [
  {
    name: 'an upload that breaks goes on in pieces',
    limits,
    does: push,
    fault: inPieces(),
    after: (scene) => {
      arrived(scene);
      assert.equal(methods(scene), 'HEAD POST PUT POST PATCH PATCH PATCH PATCH PUT');
      assert.deepEqual(starts(scene), ['0-99999', '100000-199999', '200000-299999', '300000-399999']);
    },
  },
  {
    name: 'a piece of which half arrived before the connection broke: the rest is sent, in smaller pieces',
    limits,
    does: push,
    fault: inPieces(async (context) => {
      if (!nthPatch(context, 2)) return false;
      const { request, registry } = context;
      const body = await readRequest(request);
      const [id = '', stored = Buffer.alloc(0)] = [...registry.sessions].at(-1) ?? [];
      registry.sessions.set(id, Buffer.concat([stored, body.subarray(0, 50_000)]));
      request.socket.resetAndDestroy();
      return true;
    }),
    after: (scene) => {
      arrived(scene);
      assert.deepEqual(starts(scene).slice(0, 3), ['0-99999', '100000-199999', '150000-215535']);
    },
  },
  {
    name: 'a piece is answered with 500 though it was stored',
    limits,
    does: push,
    fault: inPieces(async (context) => {
      if (!nthPatch(context, 3)) return false;
      const { request, response, registry } = context;
      const [id = '', stored = Buffer.alloc(0)] = [...registry.sessions].at(-1) ?? [];
      registry.sessions.set(id, Buffer.concat([stored, await readRequest(request)]));
      response.writeHead(500).end();
      return true;
    }),
    after: (scene) => {
      arrived(scene);
      assert.deepEqual(starts(scene).slice(2), ['200000-299999', '300000-399999']);
    },
  },
  {
    name: 'the session is forgotten between two pieces: the upload starts again',
    limits,
    does: push,
    fault: inPieces(({ request, response, registry, nth }) => {
      const isGone = registry.hits.filter(({ method }) => method === 'PATCH').length === 3;
      if (!isGone || !['PATCH', 'GET'].includes(request.method ?? '') || nth > 3) return false;
      request.resume();
      sendJson(response, 404, { errors: [{ code: 'BLOB_UPLOAD_UNKNOWN' }] });
      return true;
    }),
    after: (scene) => {
      arrived(scene);
      assert.deepEqual(starts(scene).slice(2, 4), ['200000-299999', '0-99999']);
    },
  },
  {
    name: 'a proxy takes no more than 80,000 bytes in one request',
    limits: { chunkBytes: 300_000 },
    does: push,
    fault:
      () =>
      async ({ kind, request, response }) => {
        if (kind !== 'upload' || Number(request.headers['content-length'] ?? 0) <= 80_000) return false;
        await readRequest(request);
        response.writeHead(413).end();
        return true;
      },
    after: arrived,
  },
  {
    name: 'a proxy takes nothing at all',
    limits,
    does: push,
    fault:
      () =>
      async ({ kind, request, response }) => {
        if (kind !== 'upload' || !['PUT', 'PATCH'].includes(request.method ?? '')) return false;
        await readRequest(request);
        response.writeHead(413).end();
        return true;
      },
    fails: { code: 'FAILED_PRECONDITION', says: /answered 413/ },
  },
  {
    name: 'a registry that takes no pieces',
    limits,
    does: push,
    fault:
      () =>
      async ({ kind, request, response, nth }) => {
        if (kind !== 'upload') return false;
        const broken = request.method === 'PUT' && nth === 1;
        if (!broken && request.method !== 'PATCH') return false;
        if (broken) request.socket.resetAndDestroy();
        else {
          await readRequest(request);
          response.writeHead(405).end();
        }
        return true;
      },
    after: (scene) => {
      arrived(scene);
      assert.equal(methods(scene), 'HEAD POST PUT POST PATCH POST PUT');
    },
  },
  {
    name: 'a registry that wants larger pieces',
    limits,
    does: push,
    fault: inPieces(({ request, response, registry }) => {
      if (request.method !== 'POST') return false;
      registry.sessions.set('large', Buffer.alloc(0));
      response
        .writeHead(202, { location: '/v2/app/blobs/uploads/large', 'oci-chunk-min-length': '150000' })
        .end();
      return true;
    }),
    after: (scene) => {
      arrived(scene);
      assert.deepEqual(starts(scene), ['0-149999', '150000-299999', '300000-399999']);
    },
  },
  {
    name: 'a registry that says it stores pieces and does not',
    limits,
    does: push,
    fault: inPieces(async ({ request, response }) => {
      if (request.method !== 'PATCH') return false;
      await readRequest(request);
      response.writeHead(202, { location: '/v2/app/blobs/uploads/x', range: '0-0' }).end();
      return true;
    }),
    fails: { code: 'UNKNOWN', says: /takes no bytes beyond 0/ },
  },
  {
    name: 'the answer to the end of an upload is lost, and the session with it',
    limits,
    does: push,
    fault: inPieces(({ request, response, registry, nth }) => {
      if (request.method !== 'PUT') return false;
      registry.image.blobs.set(layer.digest, content);
      if (nth <= 2) request.socket.resetAndDestroy();
      else response.writeHead(404).end();
      return true;
    }),
    after: arrived,
  },
];
