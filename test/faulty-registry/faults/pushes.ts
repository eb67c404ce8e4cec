/** Faults of pushes. */
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import type { FaultCase, Scene } from '../case.ts';
import { certificateFor } from '../certificates.ts';
import { describe, sha256, streamOf } from '../sample.ts';
import { type Fault, type FaultContext, readRequest, sendJson } from '../server.ts';

const tls = await certificateFor('127.0.0.1');
const content = Buffer.alloc(200_000, 'a new layer');
const layer = describe('application/vnd.oci.image.layer.v1.tar', content);

async function push({ client, reference, auth }: Scene): Promise<void> {
  const outcome = await client.pushBlob(reference, layer, () => streamOf(content), { auth });
  assert.equal(outcome, 'pushed');
}

/** A fault of the uploads' requests with one method. */
function onUpload(method: string, answer: (context: FaultContext) => void | Promise<void>, times = 1000) {
  return (): Fault => async (context) => {
    if (context.kind !== 'upload' || context.request.method !== method || context.nth > times) return false;
    await answer(context);
    return true;
  };
}

function arrived({ registry }: Scene): void {
  assert.ok(registry.image.blobs.get(layer.digest)?.equals(content), 'the blob is not there');
}

const methods = ({ registry }: Scene) => registry.hits.map(({ method }) => method);

export const pushFaults: FaultCase[] = [
  { name: 'a blob', does: push, after: arrived },
  {
    name: 'a blob that is there already is not sent',
    does: async ({ client, reference, registry: { image } }) => {
      const open = () => assert.fail('it is not needed');
      assert.equal(await client.pushBlob(reference, image.layer, open), 'existing');
    },
    after: (scene) => assert.deepEqual(methods(scene), ['HEAD']),
  },
  {
    name: 'HEAD tells another size under the digest',
    does: ({ client, reference, registry: { image } }) =>
      client.hasBlob(reference, { ...image.layer, size: 7 }),
    fails: { code: 'DATA_LOSS', says: /has 300000 bytes under sha256:.*, here are 7/ },
  },
  {
    name: 'an upload that fails with 500 starts again',
    does: push,
    fault: onUpload(
      'PUT',
      async ({ request, response }) => {
        await readRequest(request);
        response.writeHead(500).end();
      },
      1,
    ),
    after: (scene) => {
      arrived(scene);
      assert.deepEqual(methods(scene), ['HEAD', 'POST', 'PUT', 'POST', 'PUT']);
    },
  },
  {
    name: 'an upload whose connection breaks starts again',
    does: push,
    fault: onUpload('PUT', ({ request }) => void request.socket.resetAndDestroy(), 2),
    after: arrived,
  },
  {
    name: 'an upload whose session is gone starts again',
    does: push,
    fault: onUpload(
      'PUT',
      async ({ request, response }) => {
        await readRequest(request);
        sendJson(response, 404, { errors: [{ code: 'BLOB_UPLOAD_UNKNOWN' }] });
      },
      1,
    ),
    after: arrived,
  },
  {
    name: 'an upload that the registry stops taking starts again',
    does: async ({ client, reference, registry }) => {
      const large = Buffer.alloc(30_000_000, 'a large layer');
      const descriptor = describe('application/octet-stream', large);
      assert.equal(await client.pushBlob(reference, descriptor, () => streamOf(large)), 'pushed');
      assert.ok(registry.image.blobs.get(descriptor.digest)?.equals(large));
    },
    fault: onUpload('PUT', ({ request }) => void request.pause(), 1),
    limits: { chunkBytes: 40_000_000 },
  },
  {
    name: 'an upload that the registry never takes',
    does: ({ client, reference }) => {
      const large = Buffer.alloc(30_000_000, 'a large layer');
      return client.pushBlob(reference, describe('a/b', large), () => streamOf(large));
    },
    fault: onUpload('PUT', ({ request }) => void request.pause()),
    limits: { attempts: 2, chunkBytes: 40_000_000 },
    fails: { code: 'UNKNOWN', says: /took nothing for 250 ms/ },
  },
  {
    name: 'an upload whose place is named with the wrong scheme',
    tls,
    auth: { username: 'user', password: 'secret' },
    does: push,
    fault:
      ({ registry }) =>
      ({ kind, request, response }) => {
        if (request.headers.authorization === undefined) {
          response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
          return true;
        }
        if (kind !== 'upload' || request.method !== 'POST') return false;
        response.writeHead(202, { location: `http://${registry.address}/v2/app/blobs/uploads/1` }).end();
        return true;
      },
    after: arrived,
  },
  {
    name: 'an upload that is refused',
    does: push,
    fault: onUpload('PUT', async ({ request, response }) => {
      await readRequest(request);
      sendJson(response, 400, { errors: [{ code: 'DIGEST_INVALID', message: 'digest did not match' }] });
    }),
    fails: { code: 'FAILED_PRECONDITION', says: /answered 400 \(DIGEST_INVALID: digest did not match\)/ },
  },
  {
    name: 'an upload without a place to go to',
    does: push,
    fault: onUpload('POST', ({ response }) => void response.writeHead(202).end()),
    fails: { code: 'FAILED_PRECONDITION', says: /without saying where \(no valid Location\)/ },
  },
  {
    name: 'an upload that may not be opened',
    does: push,
    fault: onUpload('POST', ({ response }) => sendJson(response, 403, { errors: [{ code: 'DENIED' }] })),
    fails: { code: 'PERMISSION_DENIED', says: /DENIED/ },
  },
  {
    name: 'an upload goes to another host, which must not learn the credentials',
    auth: { username: 'user', password: 'secret' },
    does: push,
    fault:
      ({ other }) =>
      ({ kind, request, response }) => {
        if (request.headers.authorization === undefined) {
          response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
          return true;
        }
        if (kind !== 'upload') return false;
        response.writeHead(202, { location: `${other.url}/v2/app/blobs/uploads/1` }).end();
        return true;
      },
    after: ({ other }) => {
      assert.equal(other.hits.length, 1);
      assert.equal(other.hits[0]?.headers.authorization, undefined);
    },
  },
  {
    name: 'a mount from another repository',
    does: async ({ client, reference }) => {
      const open = () => assert.fail('it is not needed');
      const options = { mountFrom: ['base'] };
      assert.equal(await client.pushBlob(reference, layer, open, options), 'mounted');
    },
    fault: onUpload('POST', ({ response, hit }) => {
      assert.match(hit.path, /\?mount=sha256%3A.*&from=base$/);
      response.writeHead(201, { location: '/v2/app/blobs/x' }).end();
    }),
  },
  {
    name: 'a mount that the registry does not want: its session is given back, the blob is sent',
    does: async ({ client, reference }) => {
      const options = { mountFrom: ['base'] };
      assert.equal(await client.pushBlob(reference, layer, () => streamOf(content), options), 'pushed');
    },
    after: (scene) => {
      arrived(scene);
      assert.deepEqual(methods(scene), ['HEAD', 'POST', 'DELETE', 'POST', 'PUT']);
    },
  },
  {
    name: 'the blob here is shorter than its descriptor',
    does: ({ client, reference }) =>
      client.pushBlob(reference, { ...layer, size: 400_000 }, () => streamOf(content)),
    fails: {
      code: 'DATA_LOSS',
      says: /^Cannot push blob [^ ]* to [^ ]*: the blob here has 200000 bytes, not 400000/,
    },
  },
  {
    name: 'the blob here is longer than its descriptor',
    does: ({ client, reference }) =>
      client.pushBlob(reference, { ...layer, size: 100_000 }, () => streamOf(content)),
    fails: { code: 'DATA_LOSS', says: /the blob here has more bytes, not 100000/ },
  },
  {
    name: 'the blob here cannot be read',
    does: ({ client, reference }) =>
      client.pushBlob(reference, layer, () => createReadStream('/nonexistent/blob')),
    fails: { code: 'NOT_FOUND', says: /the blob here cannot be read: ENOENT/ },
  },
  {
    name: 'a manifest',
    does: async ({ client, reference, registry }) => {
      const bytes = Buffer.from('{"schemaVersion":2}');
      const type = registry.image.descriptor.mediaType;
      assert.deepEqual(await client.pushManifest(reference, type, bytes), describe(type, bytes));
    },
    after: ({ registry }) => assert.equal(registry.hits[0]?.path, '/v2/app/manifests/v1'),
  },
  {
    name: 'a manifest that the registry stores under another digest',
    does: ({ client, reference }) => client.pushManifest(reference, 'application/json', Buffer.from('{}')),
    fault:
      () =>
      ({ kind, response }) => {
        if (kind !== 'manifest') return false;
        response.writeHead(201, { 'docker-content-digest': sha256(Buffer.from('other')) }).end();
        return true;
      },
    fails: { code: 'DATA_LOSS', says: /stored it under sha256:.* instead of sha256:/ },
  },
  {
    name: 'a manifest with another digest than its reference',
    does: ({ client, reference }) =>
      client.pushManifest({ ...reference, digest: sha256(Buffer.from('x')) }, 'a/b', Buffer.from('{}')),
    fails: { code: 'DATA_LOSS', says: /has digest sha256:.*, not sha256:/ },
  },
];
