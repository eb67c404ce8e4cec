/** From a reference to a manifest and a config: verified, for this platform, written to the store. */
import type { Descriptor, Image, Manifest, Platform } from '#contracts/oci/image.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { digestLike } from '../store/chain.ts';
import type { Content } from '../store/content.ts';
import type { Lease } from '../store/leases.ts';
import { parseConfig, parseManifest } from './parse.ts';
import { choosePlatform, nameOf } from './platform.ts';

/** An image that is known but whose layers may not be here. */
export interface ResolvedImage {
  /** What the reference names: an index, or the manifest itself. */
  top: Descriptor;
  indexes: Descriptor[];
  descriptor: Descriptor;
  manifest: Manifest;
  image: Image;
}

/** Where manifests and configs come from when the store has them not. */
export interface ImageOrigin {
  top: { descriptor: Descriptor; bytes: Uint8Array };
  manifest(descriptor: Descriptor): Promise<Uint8Array>;
  blob(descriptor: Descriptor): Promise<Uint8Array>;
}

/** Indexes may name indexes; nobody needs more than one within another. */
const maxDepth = 4;
/** Bytes of a config; real ones have some kilobytes. */
const maxConfigBytes = 8 * 1024 * 1024;

/**
 * Resolves.
 *
 * @throws SkiffError NOT_FOUND if it is not for this platform, FAILED_PRECONDITION if it is no container image,
 *   DATA_LOSS if something is malformed or not what its digest says.
 */
export async function resolveImage(
  deps: { content: Content; platform: Platform; lease: Lease },
  origin: ImageOrigin,
): Promise<ResolvedImage> {
  const { content, lease } = deps;
  const indexes: Descriptor[] = [];
  const keep = async (descriptor: Descriptor, bytes: Uint8Array) => {
    verify(descriptor, bytes);
    lease.blob(descriptor.digest);
    await content.write(descriptor.digest, bytes);
  };
  let { descriptor, bytes } = origin.top;
  await keep(descriptor, bytes);
  let resolved = parseManifest(bytes, descriptor.mediaType);
  while (resolved.kind === 'index') {
    indexes.push(withoutPlatform(descriptor));
    if (indexes.length > maxDepth)
      throw new SkiffError('DATA_LOSS', `it has more than ${maxDepth} indexes in each other`);
    descriptor = choosePlatform(resolved.index, deps.platform);
    bytes = intact(content, descriptor.digest) ?? (await origin.manifest(descriptor));
    await keep(descriptor, bytes);
    resolved = parseManifest(bytes, descriptor.mediaType);
  }
  const { manifest } = resolved;
  if (manifest.config.size > maxConfigBytes)
    throw new SkiffError(
      'DATA_LOSS',
      `its config has ${manifest.config.size} bytes; ${maxConfigBytes} is the most`,
    );
  const config = intact(content, manifest.config.digest) ?? (await origin.blob(manifest.config));
  await keep(manifest.config, config);
  const image = parseConfig(config, manifest);
  checkPlatform(image, deps.platform);
  const top = withoutPlatform(origin.top.descriptor);
  return { top, indexes, descriptor: withoutPlatform(descriptor), manifest, image };
}

/** A small blob of the store if it is what its digest says; a damaged one is removed, to be fetched again. */
export function intact(content: Content, digest: string): Buffer | undefined {
  const bytes = content.read(digest);
  if (bytes === undefined || digestLike(digest, bytes) === digest) return bytes;
  content.remove(digest);
  return undefined;
}

/** What an index adds to a descriptor is no part of the thing it names. */
function withoutPlatform({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

function verify(descriptor: Descriptor, bytes: Uint8Array): void {
  if (bytes.length !== descriptor.size)
    throw new SkiffError(
      'DATA_LOSS',
      `${descriptor.digest} has ${bytes.length} bytes, but ${descriptor.size} were announced`,
    );
  const digest = digestLike(descriptor.digest, bytes);
  if (digest !== descriptor.digest)
    throw new SkiffError('DATA_LOSS', `${descriptor.digest} was asked for, but ${digest} arrived`);
}

/** Old images name no platform; others must name this one. */
function checkPlatform(image: Image, wanted: Platform): void {
  const osFits = image.os === '' || image.os === wanted.os;
  const architectureFits = image.architecture === '' || image.architecture === wanted.architecture;
  if (osFits && architectureFits) return;
  throw new SkiffError('NOT_FOUND', `it is for ${nameOf(image)}, and this machine is ${nameOf(wanted)}`);
}
