/** Media types of images: the OCI's and Docker's, and which things are images at all. */
import type { Manifest } from './image.ts';

/** The media types that Skiff writes and knows by name. */
export const MediaType = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

const configTypes: readonly string[] = [MediaType.ociConfig, MediaType.dockerConfig];
const layerPattern =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar)(?:[.+](?:gzip|zstd))?$/;

/** Whether a media type is that of an index (or Docker's manifest list). */
export function isIndexType(mediaType: string): boolean {
  return mediaType === MediaType.ociIndex || mediaType === MediaType.dockerIndex;
}

/** Why a manifest is no container image; undefined if it is one. */
export function artifactReason(manifest: Manifest): string | undefined {
  if (manifest.artifactType !== undefined && manifest.artifactType !== '')
    return `its type is "${manifest.artifactType}"`;
  if (!configTypes.includes(manifest.config.mediaType))
    return `its config has the type "${manifest.config.mediaType}"`;
  const odd = manifest.layers.find((layer) => !layerPattern.test(layer.mediaType));
  return odd === undefined ? undefined : `a layer has the type "${odd.mediaType}"`;
}
