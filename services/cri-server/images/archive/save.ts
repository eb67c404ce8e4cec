/**
 * Saves images: as an OCI layout, or as a Docker archive, which since Docker 25 is an OCI layout with a
 * `manifest.json` beside it, so that old and new readers find their way.
 */
import { once } from 'node:events';
import {
  constants,
  createWriteStream,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Descriptor } from '#contracts/oci/image.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import { familiarReference, parseReference } from '../reference.ts';
import type { ImageRecord } from '../store/model.ts';
import { type ArchiveEntry, writeTar } from './tar-writer.ts';

/** What to save where. */
export interface SaveRequest {
  /** Images by any reference. */
  references: string[];
  /** A file (a FIFO too), or with `directory` a directory to make. */
  path: string;
  format: 'docker' | 'oci';
  directory?: boolean;
}

/**
 * Saves.
 *
 * @returns bytes of what was saved.
 * @throws SkiffError NOT_FOUND for an image that is not here; the errors of writing.
 */
export async function saveImages(parts: ImageParts, request: SaveRequest): Promise<number> {
  const images = request.references.map((reference) => findOrThrow(parts, reference));
  const lease = parts.leases.open();
  try {
    const entries = layout(parts, images, request, (digest) => lease.blob(digest));
    if (request.directory === true) await writeDirectory(request.path, entries);
    else await writeArchive(request.path, entries);
    return entries.reduce((sum, entry) => sum + ('bytes' in entry ? entry.bytes.length : entry.size), 0);
  } catch (error) {
    throw wrapError(error, `Cannot save ${request.references.join(', ')} to "${request.path}"`);
  } finally {
    lease.close();
  }
}

function findOrThrow({ catalog }: ImageParts, reference: string): ImageRecord {
  const image = catalog.find(reference);
  if (image !== undefined) return image;
  throw new SkiffError('NOT_FOUND', `Cannot save "${reference}": there is no such image here; pull it first`);
}

/** The tag that an image is saved with: the one it was named by, else all that it has. */
function tagsOf(image: ImageRecord, reference: string | undefined): string[] {
  const named = image.tags.filter(
    (tag) => tag === reference || familiarReference(parseReference(tag)) === reference,
  );
  return named.length > 0 ? named : image.tags;
}

function layout(
  parts: ImageParts,
  images: ImageRecord[],
  request: SaveRequest,
  use: (digest: string) => void,
): ArchiveEntry[] {
  const { content } = parts;
  const blobs = new Map<string, ArchiveEntry>();
  const manifests: Descriptor[] = [];
  const docker: object[] = [];
  images.forEach((image, at) => {
    const tags = tagsOf(image, request.references[at]);
    for (const digest of [
      image.manifest.digest,
      image.id,
      ...image.layers.map((each) => each.descriptor.digest),
    ]) {
      use(digest);
      const size = content.size(digest);
      if (size === undefined)
        throw new SkiffError(
          'DATA_LOSS',
          `the blob ${digest} is missing; \`skiff image verify\` brings it back`,
        );
      blobs.set(digest, { name: blobName(digest), path: content.path(digest), size });
    }
    const names = tags.length > 0 ? tags : [undefined];
    for (const tag of names)
      manifests.push({
        ...image.manifest,
        ...(tag === undefined ? {} : { annotations: nameAnnotations(tag) }),
      });
    docker.push({
      Config: blobName(image.id),
      RepoTags: tags.map((tag) => familiarReference(parseReference(tag))),
      Layers: image.layers.map((layer) => blobName(layer.descriptor.digest)),
    });
  });
  const json = (name: string, value: object): ArchiveEntry => ({
    name,
    bytes: Buffer.from(JSON.stringify(value)),
  });
  return [
    ...blobs.values(),
    json('index.json', { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }),
    ...(request.format === 'docker' ? [json('manifest.json', docker)] : []),
    json('oci-layout', { imageLayoutVersion: '1.0.0' }),
  ];
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

/** The whole name as containerd writes it, and the tag as the image specification wants it. */
function nameAnnotations(name: string): Record<string, string> {
  const { tag = '' } = parseReference(name);
  return { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': tag };
}

/** Writes the archive: a file beside its place that takes it when it is whole; what is no plain file, directly. */
async function writeArchive(path: string, entries: ArchiveEntry[]): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isFile()) {
    await writeFile(path, entries);
    return;
  }
  const beside = `${path}.${process.pid}-${Date.now()}.tmp`;
  try {
    await writeFile(beside, entries);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

async function writeFile(path: string, entries: ArchiveEntry[]): Promise<void> {
  const out = createWriteStream(path, { mode: 0o600 });
  const failed = once(out, 'error').then(([error]) => Promise.reject(error));
  failed.catch(() => {});
  await Promise.race([writeTar(out, entries), failed]);
  out.end();
  await Promise.race([once(out, 'close'), failed]);
}

async function writeDirectory(path: string, entries: ArchiveEntry[]): Promise<void> {
  for (const entry of entries) {
    const file = join(path, entry.name);
    mkdirSync(dirname(file), { recursive: true });
    if ('bytes' in entry) writeFileSync(file, entry.bytes);
    else await copyFile(entry.path, file, constants.COPYFILE_FICLONE);
  }
}
