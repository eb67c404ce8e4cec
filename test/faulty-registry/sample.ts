/** A small image in memory, for registries made by tests. */
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Descriptor, Manifest } from '#contracts/oci/image.ts';

/** An image: blobs by digest, and its manifest. */
export interface SampleImage {
  blobs: Map<string, Buffer>;
  manifest: Buffer;
  descriptor: Descriptor;
  layer: Descriptor;
}

const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/** Makes an image with one layer of random bytes; nothing here looks inside layers. */
export function sampleImage(layerBytes = 300_000): SampleImage {
  const layerContent = randomBytes(layerBytes);
  const configContent = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: {} }));
  const layer = describe(layerType, layerContent);
  const config = describe('application/vnd.oci.image.config.v1+json', configContent);
  const body: Manifest = { schemaVersion: 2, mediaType: manifestType, config, layers: [layer] };
  const manifest = Buffer.from(JSON.stringify(body));
  return {
    blobs: new Map([
      [layer.digest, layerContent],
      [config.digest, configContent],
    ]),
    manifest,
    descriptor: describe(manifestType, manifest),
    layer,
  };
}

/** The descriptor of some content. */
export function describe(mediaType: string, content: Uint8Array): Descriptor {
  return { mediaType, digest: sha256(content), size: content.length };
}

/** `sha256:` and hex. */
export function sha256(content: Uint8Array): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/** Reads a stream whole. */
export async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A stream of a buffer, in pieces. */
export function streamOf(content: Buffer, piece = 16_384): Readable {
  const pieces = Array.from({ length: Math.ceil(content.length / piece) }, (_, index) =>
    content.subarray(index * piece, (index + 1) * piece),
  );
  return Readable.from(pieces, { objectMode: false });
}
