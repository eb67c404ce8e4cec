/** Makes images of given layers and puts them into a registry. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

/** The digest of bytes. */
export const digestOf = (bytes: Uint8Array | string) =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** A layer as it is sent. */
export interface LayerSpec {
  /** The tar. */
  tar: Buffer;
  /** How it is compressed; gzip unless told. */
  blob?: Buffer;
  mediaType?: string;
}

/** An image ready to be pushed. */
export interface ImageSpec {
  layers: LayerSpec[];
  config?: object;
  /** Changes the image's config before it is hashed. */
  patchConfig?: (config: Record<string, unknown>) => void;
  /** Changes the manifest before it is hashed. */
  patchManifest?: (manifest: Record<string, unknown>) => void;
  docker?: boolean;
}

/** Pushes an image and returns the digests of its manifest and config. */
export async function pushImage(
  host: string,
  name: string,
  tag: string,
  spec: ImageSpec,
): Promise<{ manifest: string; config: string; layers: string[] }> {
  const layers = [];
  for (const layer of spec.layers) {
    const blob = layer.blob ?? gzipSync(layer.tar, { level: 1 });
    await pushBlob(host, name, blob);
    const type =
      spec.docker === true
        ? 'application/vnd.docker.image.rootfs.diff.tar.gzip'
        : 'application/vnd.oci.image.layer.v1.tar+gzip';
    layers.push({ mediaType: layer.mediaType ?? type, digest: digestOf(blob), size: blob.length });
  }
  const image: Record<string, unknown> = {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: spec.config ?? {},
    rootfs: { type: 'layers', diff_ids: spec.layers.map((layer) => digestOf(layer.tar)) },
  };
  spec.patchConfig?.(image);
  const config = Buffer.from(JSON.stringify(image));
  await pushBlob(host, name, config);
  const manifest: Record<string, unknown> = {
    schemaVersion: 2,
    mediaType:
      spec.docker === true
        ? 'application/vnd.docker.distribution.manifest.v2+json'
        : 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType:
        spec.docker === true
          ? 'application/vnd.docker.container.image.v1+json'
          : 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(config),
      size: config.length,
    },
    layers,
  };
  spec.patchManifest?.(manifest);
  const bytes = Buffer.from(JSON.stringify(manifest));
  await pushManifest(host, name, tag, String(manifest.mediaType), bytes);
  return { manifest: digestOf(bytes), config: digestOf(config), layers: layers.map((layer) => layer.digest) };
}

/** Puts a blob into a registry. */
export async function pushBlob(host: string, name: string, blob: Buffer): Promise<void> {
  const begin = await fetch(`http://${host}/v2/${name}/blobs/uploads/`, { method: 'POST' });
  const place = new URL(begin.headers.get('location') ?? '', `http://${host}`);
  place.searchParams.set('digest', digestOf(blob));
  const put = await fetch(place, {
    method: 'PUT',
    body: new Uint8Array(blob),
    headers: { 'content-type': 'application/octet-stream' },
  });
  if (put.status !== 201) throw new Error(`pushing a blob: ${put.status} ${await put.text()}`);
}

/** Puts a manifest into a registry. */
export async function pushManifest(
  host: string,
  name: string,
  tag: string,
  type: string,
  bytes: Buffer,
): Promise<void> {
  const put = await fetch(`http://${host}/v2/${name}/manifests/${tag}`, {
    method: 'PUT',
    body: new Uint8Array(bytes),
    headers: { 'content-type': type },
  });
  if (put.status !== 201) throw new Error(`pushing a manifest: ${put.status} ${await put.text()}`);
}
