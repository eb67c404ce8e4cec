/**
 * Loads images from an OCI layout or a Docker archive: a directory, or a tar (compressed or not; a FIFO too).
 * A tar is laid out in a temporary directory by the same careful extractor that unpacks layers.
 */
import { createReadStream, existsSync, mkdtempSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Index } from '#contracts/oci/image.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import { discard } from '../pull/fetch-layer.ts';
import { type ImageSupply, obtainImage } from '../pull/obtain.ts';
import { parseManifest } from '../pull/parse.ts';
import { formatReference, formatRepository, parseReference } from '../reference.ts';
import type { ImageRecord } from '../store/model.ts';
import { dockerImages } from './docker-archive.ts';
import { type ArchivedImage, insideOf } from './files.ts';

/**
 * Loads every image of an archive.
 *
 * @throws SkiffError NOT_FOUND without such a file, INVALID_ARGUMENT if it is no archive of images, DATA_LOSS if
 *   something in it is not what its digest says.
 */
export async function loadImages(
  parts: ImageParts,
  path: string,
  signal: AbortSignal,
): Promise<ImageRecord[]> {
  const laidOut = mkdtempSync(join(parts.directory, 'build-'));
  try {
    const isDirectory = statSync(path).isDirectory();
    const root = isDirectory ? path : join(laidOut, 'archive');
    if (!isDirectory) await parts.pool.run('layOut', { archive: path, target: root, limits: parts.limits });
    const images = await readArchive(parts, root);
    const loaded: ImageRecord[] = [];
    for (const image of images) loaded.push(await loadOne(parts, image, signal));
    return loaded;
  } catch (error) {
    throw wrapError(error, `Cannot load images from "${path}"`);
  } finally {
    void discard(parts, laidOut);
  }
}

async function readArchive(parts: ImageParts, root: string): Promise<ArchivedImage[]> {
  if (existsSync(join(root, 'index.json'))) return ociImages(root);
  if (existsSync(join(root, 'manifest.json'))) return dockerImages(parts, root);
  throw new SkiffError(
    'INVALID_ARGUMENT',
    'it has neither an index.json (OCI layout) nor a manifest.json (Docker archive)',
  );
}

function ociImages(root: string): ArchivedImage[] {
  const bytes = readFileSync(insideOf(root, 'index.json'));
  const parsed = parseManifest(bytes, 'application/vnd.oci.image.index.v1+json');
  if (parsed.kind !== 'index') throw new SkiffError('INVALID_ARGUMENT', 'its index.json is no index');
  const pathOf = (digest: string) => insideOf(root, `blobs/${digest.replace(':', '/')}`);
  const images = new Map<string, ArchivedImage>();
  for (const descriptor of parsed.index.manifests) {
    const known = images.get(descriptor.digest);
    const names = namesOf(descriptor);
    if (known !== undefined) known.names.push(...names);
    else
      images.set(descriptor.digest, {
        descriptor,
        bytes: readFileSync(pathOf(descriptor.digest)),
        names,
        pathOf,
      });
  }
  return [...images.values()];
}

/** Only whole names count: `org.opencontainers.image.ref.name` may be a bare tag, which names nothing. */
function namesOf({ annotations }: Index['manifests'][number]): string[] {
  const whole = annotations?.['io.containerd.image.name'];
  const other = annotations?.['org.opencontainers.image.ref.name'];
  if (whole !== undefined) return [whole];
  return other !== undefined && /[/:]/.test(other) ? [other] : [];
}

async function loadOne(parts: ImageParts, image: ArchivedImage, signal: AbortSignal): Promise<ImageRecord> {
  const references = image.names.map(parseReference);
  const tags = references.filter((each) => each.digest === undefined).map(formatReference);
  const digests = references
    .filter((each) => each.digest !== undefined)
    .map((each) => `${formatRepository(each)}@${each.digest}`);
  const supply: ImageSupply = {
    origin: {
      top: { descriptor: image.descriptor, bytes: image.bytes },
      manifest: async (descriptor) => readFileSync(image.pathOf(descriptor.digest)),
      blob: async (descriptor) => readFileSync(image.pathOf(descriptor.digest)),
    },
    openLayer: async (descriptor, offset) =>
      createReadStream(image.pathOf(descriptor.digest), { start: offset }),
    names: () => ({ tags, digests }),
  };
  const lease = parts.leases.open();
  const tracker = parts.board.begin(tags[0] ?? image.descriptor.digest);
  try {
    const record = await obtainImage(parts, supply, { lease, tracker }, signal);
    tracker.end({ imageId: record.id });
    return record;
  } catch (error) {
    tracker.end({ error: String(error) });
    throw error;
  } finally {
    lease.close();
  }
}
