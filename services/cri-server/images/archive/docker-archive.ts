/** Reads a Docker archive of before version 25: `manifest.json` names configs and layers by file, not by digest. */
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import type { Manifest } from '#contracts/oci/image.ts';
import { MediaType } from '#contracts/oci/media-types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import { sha256 } from '../store/chain.ts';
import { type ArchivedImage, insideOf } from './files.ts';

const list = z.array(
  z.looseObject({
    Config: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Layers: z.array(z.string()).nullish(),
  }),
);

/** A plain or compressed layer: readers tell by its first bytes. */
const layerType = 'application/vnd.docker.image.rootfs.diff.tar';

/** @throws SkiffError INVALID_ARGUMENT for a malformed list, NOT_FOUND for a file that is missing. */
export async function dockerImages(parts: Pick<ImageParts, 'pool'>, root: string): Promise<ArchivedImage[]> {
  const parsed = list.safeParse(JSON.parse(readFileSync(insideOf(root, 'manifest.json'), 'utf8')));
  if (!parsed.success) throw new SkiffError('INVALID_ARGUMENT', 'its manifest.json is malformed');
  const images: ArchivedImage[] = [];
  for (const { Config, RepoTags, Layers } of parsed.data) {
    const paths = new Map<string, string>();
    const add = (path: string, digest: string) => {
      paths.set(digest, path);
      return { digest, size: statSync(path).size };
    };
    const config = insideOf(root, Config);
    const layers = [];
    for (const name of Layers ?? []) {
      const path = insideOf(root, name);
      const { size } = statSync(path);
      // The digest is to be found out: any of the right algorithm does to ask for it.
      const digest = await parts.pool.run('digest', { path, size, digest: 'sha256:' });
      layers.push({ mediaType: layerType, ...add(path, digest) });
    }
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: MediaType.dockerManifest,
      config: { mediaType: MediaType.dockerConfig, ...add(config, sha256(readFileSync(config))) },
      layers,
    };
    const bytes = Buffer.from(JSON.stringify(manifest));
    images.push({
      descriptor: { mediaType: MediaType.dockerManifest, digest: sha256(bytes), size: bytes.length },
      bytes,
      names: RepoTags ?? [],
      pathOf: (digest) => {
        const path = paths.get(digest);
        if (path === undefined) throw new SkiffError('NOT_FOUND', `${digest} is not in the archive`);
        return path;
      },
    });
  }
  return images;
}
