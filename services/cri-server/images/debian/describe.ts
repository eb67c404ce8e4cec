/** Writes the config and the manifest of a built image. */
import type { Descriptor, Image, ImageConfig, Manifest } from '#contracts/oci/image.ts';
import { MediaType } from '#contracts/oci/media-types.ts';
import { hostPlatform } from '../pull/platform.ts';
import { sha256 } from '../store/chain.ts';
import type { PackedLayer } from './pack.ts';

/** An image that is not in the store yet. */
export interface BuiltImage {
  layerPath: string;
  config: Buffer;
  manifest: { descriptor: Descriptor; bytes: Buffer };
}

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** @param created seconds since the epoch. */
export function describeImage(layer: PackedLayer, config: ImageConfig, created: number): BuiltImage {
  const time = new Date(created * 1000).toISOString();
  const env = config.Env ?? [];
  const hasPath = env.some((each) => each.startsWith('PATH='));
  const hasCommand = config.Entrypoint !== undefined || config.Cmd !== undefined;
  const image: Image = {
    created: time,
    ...hostPlatform(),
    config: {
      ...config,
      Env: hasPath ? env : [defaultPath, ...env],
      ...(hasCommand ? {} : { Cmd: ['/bin/sh'] }),
    },
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
    history: [{ created: time, created_by: 'skiff image debian' }],
  };
  const configBytes = Buffer.from(JSON.stringify(image));
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config: { mediaType: MediaType.ociConfig, digest: sha256(configBytes), size: configBytes.length },
    layers: [{ mediaType: MediaType.ociLayerGzip, digest: layer.digest, size: layer.size }],
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const descriptor = { mediaType: MediaType.ociManifest, digest: sha256(bytes), size: bytes.length };
  return { layerPath: layer.path, config: configBytes, manifest: { descriptor, bytes } };
}
