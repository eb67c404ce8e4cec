/** Builds OCI images in memory: layers of tar entries, a config, a manifest. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Descriptor, Image, ImageConfig, Manifest } from '#contracts/oci/image.ts';
import { type TarEntry, tarOf } from './tar.ts';

/** An image, complete with its blobs. */
export interface BuiltImage {
  manifest: Descriptor;
  /** The image id: the digest of its config. */
  configDigest: string;
  /** All blobs by digest, the manifest's too. */
  blobs: Map<string, { mediaType: string; bytes: Buffer }>;
}

/** Builds an image of these layers for this machine's architecture. */
export function buildImage(layers: readonly (readonly TarEntry[])[], config: ImageConfig): BuiltImage {
  const blobs: BuiltImage['blobs'] = new Map();
  const add = (mediaType: string, bytes: Buffer): Descriptor => {
    const digest = digestOf(bytes);
    blobs.set(digest, { mediaType, bytes });
    return { mediaType, digest, size: bytes.length };
  };
  const tars = layers.map(tarOf);
  const image: Image = {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: tars.map(digestOf) },
  };
  const configBlob = add('application/vnd.oci.image.config.v1+json', Buffer.from(JSON.stringify(image)));
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: configBlob,
    layers: tars.map((tar) =>
      add('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(tar, { level: 1 })),
    ),
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return { manifest: add(manifest.mediaType ?? '', bytes), configDigest: configBlob.digest, blobs };
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
