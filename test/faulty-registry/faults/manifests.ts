/** Faults of manifest requests. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FaultCase, resolveIt, type Scene } from '../case.ts';
import { describe, sha256 } from '../sample.ts';
import { type Fault, type FaultContext, sendJson } from '../server.ts';

/** A fault that concerns manifests only. */
function onManifest(answer: (context: FaultContext) => void | Promise<void>, times = 1000): () => Fault {
  return () => async (context) => {
    if (context.kind !== 'manifest' || context.request.method !== 'GET' || context.nth > times) return false;
    await answer(context);
    return true;
  };
}

/** Serves other bytes, with honest headers for them. */
function instead(body: string | Buffer, headers: Record<string, string> = {}) {
  return onManifest(({ response }) => {
    response.writeHead(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json', ...headers });
    response.end(body);
  });
}

function truncated({ response, content }: FaultContext): void {
  response.writeHead(200, { 'content-length': content.length });
  response.write(content.subarray(0, 50));
  setTimeout(() => response.destroy(), 20);
}

const pullByDigest = async ({ client, reference, registry }: Scene) => {
  const { digest } = registry.image.descriptor;
  await client.resolve({ ...reference, digest });
};

const image = { schemaVersion: 2, config: {}, layers: [] };

export const manifestFaults: FaultCase[] = [
  {
    name: 'the manifest is cut off every time',
    fault: onManifest(truncated),
    fails: { code: 'UNKNOWN', says: /broke off the transfer|sent fewer bytes/ },
    after: ({ registry }) => assert.equal(registry.hits.length, 4, 'all attempts are used'),
  },
  { name: 'the manifest is cut off once', fault: onManifest(truncated, 1) },
  {
    name: 'the manifest is not what its digest header says',
    fault: onManifest(({ response, content }) => {
      response.writeHead(200, { 'docker-content-digest': sha256(Buffer.from('another')) }).end(content);
    }),
    fails: { code: 'DATA_LOSS', says: /sent a manifest with digest sha256:.* instead of sha256:/ },
  },
  {
    name: 'another manifest than the digest that was asked for',
    does: pullByDigest,
    fault: instead(JSON.stringify(image)),
    fails: { code: 'DATA_LOSS', says: /instead of sha256:/ },
  },
  {
    name: 'the manifest is no JSON',
    fault: instead('<html>please log in</html>'),
    fails: { code: 'DATA_LOSS', says: /the manifest is not JSON/ },
  },
  {
    name: 'the manifest is no UTF-8',
    fault: instead(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])),
    fails: { code: 'DATA_LOSS', says: /the manifest is not JSON/ },
  },
  { name: 'the manifest is empty', fault: instead(''), fails: { code: 'DATA_LOSS', says: /is not JSON/ } },
  {
    name: 'the manifest is a JSON array',
    fault: instead('[]'),
    fails: { code: 'DATA_LOSS', says: /the manifest is malformed: top level/ },
  },
  {
    name: 'the manifest has no content',
    fault: instead('{"schemaVersion":2}'),
    fails: { code: 'DATA_LOSS', says: /neither layers nor manifests/ },
  },
  {
    name: 'the manifest is an image and an index at once',
    fault: instead(JSON.stringify({ ...image, manifests: [] })),
    fails: { code: 'DATA_LOSS', says: /both an index and an image/ },
  },
  {
    name: 'the Content-Type says index, the manifest is an image',
    fault: instead(JSON.stringify(image), { 'content-type': 'application/vnd.oci.image.index.v1+json' }),
    fails: { code: 'DATA_LOSS', says: /is an image, but its type says .*index/ },
  },
  {
    name: 'the manifest is of schema 1',
    fault: instead('{"schemaVersion":1,"name":"app","fsLayers":[]}'),
    fails: { code: 'UNIMPLEMENTED', says: /schema 1/ },
  },
  {
    name: 'a huge manifest with its length',
    fault: instead(Buffer.alloc(500_000, ' ')),
    fails: { code: 'DATA_LOSS', says: /sent a larger manifest than 100000 bytes/ },
  },
  {
    name: 'an endless manifest',
    fault: onManifest(async ({ response }) => {
      response.writeHead(200);
      while (!response.destroyed) {
        response.write(Buffer.alloc(20_000, ' '));
        await sleep(1);
      }
    }),
    fails: { code: 'DATA_LOSS', says: /sent a larger manifest/ },
  },
  {
    name: 'a manifest of another size than its descriptor',
    does: ({ client, reference, registry }) =>
      client.fetchManifest(reference, { ...registry.image.descriptor, size: 1000 }),
    fails: { code: 'DATA_LOSS', says: /a manifest of \d+ bytes instead of 1000/ },
  },
  {
    name: 'a manifest that is longer than its descriptor',
    does: ({ client, reference, registry }) =>
      client.fetchManifest(reference, { ...registry.image.descriptor, size: 20 }),
    fails: { code: 'DATA_LOSS', says: /a larger manifest than that of 20 bytes/ },
  },
  {
    name: 'a descriptor of a manifest beyond all bounds',
    does: ({ client, reference, registry }) =>
      client.fetchManifest(reference, { ...registry.image.descriptor, size: 1e12 }),
    fails: { code: 'DATA_LOSS', says: /100000 are accepted at the most/ },
    after: ({ registry }) => assert.equal(registry.hits.length, 0),
  },
  {
    name: 'the Content-Type is wrong',
    fault: onManifest(({ response, content }) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end(content);
    }),
  },
  {
    name: 'no Content-Type, no digest, no length',
    fault: onManifest(({ response, content }) => {
      response.writeHead(200);
      response.write(content);
      response.end();
    }),
  },
  {
    name: 'HTTP/1.0 that ends with the connection',
    fault: () => (context) => {
      const { request, content } = context;
      if (request.method !== 'GET') return false;
      request.socket.end(Buffer.concat([Buffer.from('HTTP/1.0 200 OK\r\n\r\n'), content]));
      return true;
    },
  },
  {
    name: 'HEAD is not supported',
    fault: () => (context) => {
      if (context.request.method !== 'HEAD') return false;
      context.response.writeHead(405).end();
      return true;
    },
    does: ({ client, reference }) =>
      client.resolve(reference, { local: () => assert.fail('nothing to look for') }).then(() => {}),
  },
  {
    name: 'HEAD tells a digest that is none',
    fault: () => (context) => {
      if (context.request.method !== 'HEAD') return false;
      context.response.writeHead(200, { 'docker-content-digest': '../../etc/passwd' }).end();
      return true;
    },
    does: ({ client, reference }) =>
      client.resolve(reference, { local: () => assert.fail('nothing to look for') }).then(() => {}),
  },
  {
    name: 'a tag that means a manifest that is here costs one HEAD',
    does: async ({ client, reference, registry }) => {
      const { manifest, descriptor } = registry.image;
      const local = (digest: string) => (digest === descriptor.digest ? manifest : undefined);
      assert.deepEqual((await client.resolve(reference, { local })).descriptor, descriptor);
    },
    after: ({ registry }) =>
      assert.deepEqual(
        registry.hits.map(({ method }) => method),
        ['HEAD'],
      ),
  },
  {
    name: 'headers never come',
    fault: onManifest(() => {}),
    limits: { attempts: 2 },
    fails: { code: 'UNKNOWN', says: /did not answer in time/ },
  },
  {
    name: 'headers come, the manifest does not',
    fault: onManifest(({ response }) => {
      response.writeHead(200, { 'content-length': 100 }).flushHeaders();
    }),
    limits: { attempts: 2 },
    fails: { code: 'UNKNOWN', says: /took longer than 500 ms/ },
  },
  {
    name: 'the manifest drips',
    fault: onManifest(async ({ response, content }) => {
      response.writeHead(200);
      for (const byte of content) {
        if (response.destroyed) return;
        response.write(Buffer.of(byte));
        await sleep(20);
      }
    }),
    limits: { attempts: 2 },
    fails: { code: 'UNKNOWN', says: /took longer than 500 ms/ },
  },
  {
    name: 'the server does not speak HTTP',
    fault: onManifest(({ request }) => {
      request.socket.end('SSH-2.0-OpenSSH_9.2\r\n');
    }),
    fails: { code: 'FAILED_PRECONDITION', says: /does not answer in proper HTTP/ },
  },
  {
    name: 'headers without end',
    fault: onManifest(({ request }) => {
      request.socket.end(`HTTP/1.1 200 OK\r\n${'x-filler: 0123456789\r\n'.repeat(5000)}\r\n`);
    }),
    fails: { code: 'FAILED_PRECONDITION', says: /does not answer in proper HTTP: Headers Overflow/ },
  },
  {
    name: 'the connection is closed without an answer, once',
    fault: onManifest(({ request }) => {
      request.socket.destroy();
    }, 1),
  },
  {
    name: 'the connection is reset without an answer, always',
    fault: onManifest(({ request }) => {
      request.socket.resetAndDestroy();
    }),
    fails: { code: 'UNKNOWN', says: /(reset|closed) the connection/ },
  },
  {
    name: 'a referenced manifest is not there',
    does: ({ client, reference }) =>
      client.fetchManifest(
        reference,
        describe('application/vnd.oci.image.manifest.v1+json', Buffer.from('x')),
      ),
    fault: onManifest(({ response }) =>
      sendJson(response, 404, { errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] }),
    ),
    fails: { code: 'NOT_FOUND', says: /not found: .* 404 \(MANIFEST_UNKNOWN: manifest unknown\)/ },
  },
  {
    name: 'an error with terminal escapes and markup',
    does: resolveIt,
    fault: onManifest(({ response }) =>
      sendJson(response, 403, { errors: [{ code: 'DENIED', message: '\u001b[31mred\u0007\nalert' }] }),
    ),
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that none is left is the point.
    fails: { code: 'PERMISSION_DENIED', says: /^[^\u0000-\u001f]*DENIED: {1,2}\[31mred alert/ },
  },
];
