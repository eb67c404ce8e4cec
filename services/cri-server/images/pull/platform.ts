/** Chooses the manifest of an index that is for this machine. */
import { arch } from 'node:os';
import type { Descriptor, Index, Platform } from '#contracts/oci/image.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** Node's names of processors, in Go's words, which images use. */
const architectures: Record<string, string> = {
  x64: 'amd64',
  ia32: '386',
  arm64: 'arm64',
  arm: 'arm',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  loong64: 'loong64',
};

/** This machine's platform. */
export function hostPlatform(): Platform {
  const architecture = architectures[arch()] ?? arch();
  const variant = architecture === 'arm64' ? 'v8' : architecture === 'arm' ? 'v7' : undefined;
  return { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) };
}

/** The variants that a platform runs, best first; undefined stands for images that name none. */
function variantsOf(wanted: Platform): (string | undefined)[] {
  const { architecture, variant } = wanted;
  const levels: Record<string, string[]> = {
    amd64: ['v4', 'v3', 'v2', 'v1'],
    arm: ['v8', 'v7', 'v6', 'v5'],
    arm64: ['v9', 'v8'],
  };
  const all = levels[architecture] ?? [];
  const from = variant === undefined ? -1 : all.indexOf(variant);
  // Without a level of its own an amd64 machine is only sure to run the first.
  if (architecture === 'amd64' && from < 0) return [undefined, 'v1'];
  if (from < 0) return variant === undefined ? [undefined, ...all] : [variant, undefined];
  const below = all.slice(from);
  // Unnamed is v8 on arm64, and the first level elsewhere.
  return architecture === 'arm64' ? [below[0], undefined, ...below.slice(1)] : [...below, undefined];
}

/** How well a platform fits: lower is better, undefined is not at all. */
function rank(offered: Platform, wanted: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined;
  const at = variantsOf(wanted).indexOf(offered.variant === '' ? undefined : offered.variant);
  return at < 0 ? undefined : at;
}

/**
 * The best manifest of an index for a platform.
 *
 * @throws SkiffError NOT_FOUND that lists what there is.
 */
export function choosePlatform(index: Index, wanted: Platform): Descriptor {
  const ranked = index.manifests
    .filter((each) => each.annotations?.['vnd.docker.reference.type'] !== 'attestation-manifest')
    .map((each) => ({ each, rank: each.platform === undefined ? undefined : rank(each.platform, wanted) }))
    .filter((entry): entry is { each: Descriptor; rank: number } => entry.rank !== undefined)
    .sort((a, b) => a.rank - b.rank);
  const best = ranked[0]?.each ?? onlyUnnamed(index);
  if (best !== undefined) return best;
  const offered = index.manifests.map(({ platform }) => nameOf(platform)).join(', ') || 'none';
  throw new SkiffError(
    'NOT_FOUND',
    `it is not offered for ${nameOf(wanted)}; its index has: ${offered.slice(0, 1000)}`,
  );
}

/** An index of one manifest that says no platform: its config will tell. */
function onlyUnnamed(index: Index): Descriptor | undefined {
  const [only, ...more] = index.manifests;
  return more.length === 0 && only?.platform === undefined ? only : undefined;
}

/** `linux/arm64/v8`. */
export function nameOf(platform: Platform | undefined): string {
  if (platform === undefined) return 'an unnamed platform';
  const { os, architecture, variant } = platform;
  return [os, architecture, variant].filter((part) => part !== undefined && part !== '').join('/');
}
