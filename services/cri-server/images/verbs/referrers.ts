/** Lists what a registry has that refers to an image. */
import type { Descriptor } from '#contracts/oci/image.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import { parseReference, type Reference } from '../reference.ts';
import type { AuthRequest } from '../registry/types.ts';

/** What to list. */
export interface ReferrersRequest {
  /** By name; the image need not be here. */
  reference: string;
  auth?: AuthRequest;
  /** Only those of this type. */
  artifactType?: string;
}

/** Something that refers to an image. */
export interface Referrer extends Descriptor {
  /** The digest of the manifest or index that it refers to. */
  subject: string;
}

/**
 * Lists referrers of the image's manifest and of the indexes that led to it: some tools sign one, some the other.
 *
 * @throws SkiffError NOT_FOUND if neither this machine nor the registry has the image.
 */
export async function listReferrers(
  { catalog, registry, candidates }: Pick<ImageParts, 'catalog' | 'registry' | 'candidates'>,
  { reference: name, auth, artifactType }: ReferrersRequest,
  signal: AbortSignal,
): Promise<Referrer[]> {
  const image = catalog.find(name);
  const known = image?.tags[0] ?? image?.digests[0];
  if (image !== undefined && known === undefined)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Cannot look for referrers of "${name}": it came from no registry`,
    );
  const options = { auth, signal, ...(artifactType === undefined ? {} : { artifactType }) };
  const reference =
    known === undefined ? await first(candidates(name)) : parseReference(isNamed(name) ? name : known);
  const subjects =
    image === undefined
      ? [(await registry.resolve(reference, { auth, signal })).descriptor.digest]
      : [...image.indexes.map((each) => each.digest), image.manifest.digest];
  const found = subjects.map(async (subject) => {
    const list = await registry.listReferrers(reference, subject, options);
    return list.map((each) => ({ ...each, subject }));
  });
  return (await Promise.all(found)).flat();
}

async function first(candidates: Promise<Reference[]>): Promise<Reference> {
  const [reference] = await candidates;
  if (reference === undefined) throw new SkiffError('INVALID_ARGUMENT', 'the name stands for no image');
  return reference;
}

/** Whether it is a name, and not an id or a part of one. */
function isNamed(text: string): boolean {
  return /[/:.@]/.test(text) && !text.startsWith('sha256:');
}
