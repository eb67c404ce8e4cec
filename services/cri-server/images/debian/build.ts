/**
 * Builds an image from Debian packages, without a registry: mmdebstrap lays out the files, `finish.ts` makes
 * a usable system of them, GNU tar and gzip make the layer, and the store takes it in like any other image.
 */
import { createReadStream, mkdtempSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageConfig } from '#contracts/oci/image.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { runCommand } from '#foundation/linux/command.ts';
import type { ImageParts } from '../deps.ts';
import { obtainImage } from '../pull/obtain.ts';
import { formatReference, parseReference } from '../reference.ts';
import type { ImageRecord } from '../store/model.ts';
import { type BuiltImage, describeImage } from './describe.ts';
import { finishRoot } from './finish.ts';
import { packLayer } from './pack.ts';

/** What to build. */
export interface DebianBuild {
  /** The image's name: `web`, `web:v1`. */
  name: string;
  packages: string[];
  /** Release; `bookworm` unless told. */
  suite?: string;
  /** A mirror or sources.list line; deb.debian.org unless told. */
  mirror?: string;
  /**
   * `minimal`: only the files of the packages and what they depend on; their installation scripts are not run.
   * `full`: a whole small Debian (essential packages), with installation scripts. `minimal` unless told.
   */
  variant?: 'minimal' | 'full';
  /** Entrypoint, Cmd, Env, User, WorkingDir, Labels... as the image's config has them. */
  config?: ImageConfig;
  onLine?: (line: string) => void;
}

/** Milliseconds that mmdebstrap may take. */
const buildMs = 20 * 60_000;

/**
 * Builds.
 *
 * @throws SkiffError INVALID_ARGUMENT for names that are none, NOT_FOUND without mmdebstrap, INTERNAL with
 *   mmdebstrap's own words when it fails.
 */
export async function buildDebian(
  parts: ImageParts,
  build: DebianBuild,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const tag = checkBuild(build);
  const directory = mkdtempSync(join(parts.directory, 'build-'));
  try {
    const root = join(directory, 'root');
    const started = Date.now();
    await layOut(build, root, signal);
    build.onLine?.('Finishing the file system');
    const newest = await finishRoot(root, started);
    build.onLine?.('Packing the layer');
    const packed = await packLayer(root, directory, signal);
    const image = describeImage(packed, build.config ?? {}, newest);
    build.onLine?.('Adding the image to the store');
    return await takeIn(parts, image, tag, signal);
  } catch (error) {
    throw wrapError(error, `Cannot build the image "${build.name}"`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** @returns the normalised name with its tag. */
function checkBuild({ name, packages, suite }: DebianBuild): string {
  const reference = parseReference(name);
  if (reference.digest !== undefined)
    throw new SkiffError('INVALID_ARGUMENT', `Cannot build "${name}": the digest is only known afterwards`);
  if (packages.length === 0)
    throw new SkiffError('INVALID_ARGUMENT', `Cannot build "${name}": name at least one package`);
  // They become arguments of apt, which would take a leading dash or other signs for more than a name.
  const odd = packages.find(
    (each) => !/^[a-z0-9][a-z0-9+.-]*(?::[a-z0-9]+)?(?:=[A-Za-z0-9.+~:-]+)?$/.test(each),
  );
  if (odd !== undefined)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `Cannot build "${name}": "${odd}" is no name of a Debian package`,
    );
  if (suite !== undefined && !/^[a-z][a-z0-9-]*$/.test(suite))
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `Cannot build "${name}": "${suite}" is no name of a Debian release`,
    );
  return formatReference(reference);
}

async function layOut(build: DebianBuild, root: string, signal: AbortSignal): Promise<void> {
  const { onLine } = build;
  const variant = build.variant === 'full' ? 'essential' : 'extract';
  await runCommand({
    file: 'mmdebstrap',
    args: [
      `--variant=${variant}`,
      `--include=${build.packages.join(',')}`,
      '--format=directory',
      '--skip=output/dev,output/mknod',
      build.suite ?? 'bookworm',
      root,
      ...(build.mirror === undefined ? [] : [build.mirror]),
    ],
    timeoutMs: buildMs,
    signal,
    ...(onLine === undefined ? {} : { onErrorLine: (line) => onLine(line.replace(/^I: /, '')) }),
  });
}

async function takeIn(
  parts: ImageParts,
  image: BuiltImage,
  tag: string,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const lease = parts.leases.open();
  const tracker = parts.board.begin(tag);
  const { size } = await stat(image.layerPath);
  try {
    const record = await obtainImage(
      parts,
      {
        origin: {
          top: { descriptor: image.manifest.descriptor, bytes: image.manifest.bytes },
          manifest: async () => image.manifest.bytes,
          blob: async () => image.config,
        },
        openLayer: async (_, offset) => createReadStream(image.layerPath, { start: offset, end: size }),
        names: () => ({ tags: [tag], digests: [] }),
      },
      { lease, tracker },
      signal,
    );
    tracker.end({ imageId: record.id });
    return record;
  } catch (error) {
    tracker.end({ error: String(error) });
    throw error;
  } finally {
    lease.close();
  }
}
