/** Hostile manifests, indexes and configs. */
import type { ErrorCode } from '#foundation/base/errors.ts';
import { digestOf, type ImageSpec, pushBlob, pushImage, pushManifest } from './image.ts';
import { tar } from './tar.ts';

/** One case. */
export interface HostileManifest {
  push(host: string, name: string): Promise<unknown>;
  refused: ErrorCode[];
}

const layer = { tar: tar({ name: 'a', content: 'a' }) };
const indexType = 'application/vnd.oci.image.index.v1+json';
const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const zeros = `sha256:${'0'.repeat(64)}`;

/** An image of one layer with something changed. */
function changed(change: Partial<ImageSpec>, refused: ErrorCode[]): HostileManifest {
  return { push: (host, name) => pushImage(host, name, 'v1', { layers: [layer], ...change }), refused };
}

/** An index of one honest image, with its descriptor changed. */
function indexed(
  change: (descriptor: Record<string, unknown>) => void,
  refused: ErrorCode[],
): HostileManifest {
  return {
    push: async (host, name) => {
      const image = await pushImage(host, name, 'real', { layers: [layer] });
      const fetched = await fetch(`http://${host}/v2/${name}/manifests/${image.manifest}`, {
        headers: { accept: manifestType },
      });
      const size = (await fetched.arrayBuffer()).byteLength;
      const descriptor = { mediaType: manifestType, digest: image.manifest, size };
      change(descriptor);
      await pushManifest(
        host,
        name,
        'v1',
        indexType,
        Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [descriptor] })),
      );
    },
    refused,
  };
}

export const manifestCases: Record<string, HostileManifest> = {
  'fewer diff ids than layers': changed(
    { patchConfig: (config) => Object.assign(config, { rootfs: { type: 'layers', diff_ids: [] } }) },
    ['DATA_LOSS'],
  ),
  'more diff ids than layers': changed(
    {
      patchConfig: (config) =>
        Object.assign(config, { rootfs: { type: 'layers', diff_ids: [zeros, zeros] } }),
    },
    ['DATA_LOSS'],
  ),
  'diff ids that are none': changed(
    { patchConfig: (config) => Object.assign(config, { rootfs: { type: 'layers', diff_ids: ['../../x'] } }) },
    ['DATA_LOSS'],
  ),
  'another root type': changed(
    { patchConfig: (config) => Object.assign(config, { rootfs: { type: 'disk', diff_ids: [zeros] } }) },
    ['DATA_LOSS'],
  ),
  'no rootfs': changed({ patchConfig: (config) => Object.assign(config, { rootfs: undefined }) }, [
    'DATA_LOSS',
  ]),
  'env that is no list': changed(
    { patchConfig: (config) => Object.assign(config, { config: { Env: { a: 1 } } }) },
    ['DATA_LOSS'],
  ),
  'another architecture': changed(
    { patchConfig: (config) => Object.assign(config, { architecture: 's390x' }) },
    ['NOT_FOUND'],
  ),
  'another system': changed({ patchConfig: (config) => Object.assign(config, { os: 'windows' }) }, [
    'NOT_FOUND',
  ]),
  'a layer size too small': changed(
    { patchManifest: ({ layers }) => Object.assign((layers as object[])[0] ?? {}, { size: 10 }) },
    ['DATA_LOSS', 'INVALID_ARGUMENT', 'FAILED_PRECONDITION'],
  ),
  'a layer size too large': changed(
    { patchManifest: ({ layers }) => Object.assign((layers as object[])[0] ?? {}, { size: 1_000_000 }) },
    ['DATA_LOSS', 'FAILED_PRECONDITION', 'UNKNOWN', 'OUT_OF_RANGE'],
  ),
  'a config size too large': changed(
    { patchManifest: ({ config }) => Object.assign(config as object, { size: 100_000_000 }) },
    ['DATA_LOSS'],
  ),
  'an artifact by its config': changed(
    {
      patchManifest: ({ config }) =>
        Object.assign(config as object, { mediaType: 'application/vnd.cncf.helm.config.v1+json' }),
    },
    ['FAILED_PRECONDITION'],
  ),
  'an artifact by its type': changed(
    { patchManifest: (manifest) => Object.assign(manifest, { artifactType: 'application/x-model' }) },
    ['FAILED_PRECONDITION'],
  ),
  'an index for other machines': indexed(
    (each) => Object.assign(each, { platform: { os: 'linux', architecture: 's390x' } }),
    ['NOT_FOUND'],
  ),
  'an index with a wrong size': indexed(
    (each) => Object.assign(each, { size: Number(each.size) + 1 }),
    ['DATA_LOSS'],
  ),
  'a config that is not JSON': {
    push: async (host, name) => {
      const config = Buffer.from('{"rootfs":');
      await pushBlob(host, name, config);
      const descriptor = {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: digestOf(config),
        size: config.length,
      };
      const manifest = { schemaVersion: 2, mediaType: manifestType, config: descriptor, layers: [] };
      await pushManifest(host, name, 'v1', manifestType, Buffer.from(JSON.stringify(manifest)));
    },
    refused: ['DATA_LOSS'],
  },
};
