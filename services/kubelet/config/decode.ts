/** Manifests of static pods: decoded, completed and checked as an API server would, with lines for problems. */
import { problemsError } from '#contracts/kubernetes/decode/load.ts';
import { decodeManifests, type ManifestObject } from '#contracts/kubernetes/decode/manifest.ts';
import { parsePath } from '#contracts/kubernetes/decode/path.ts';
import { applyDefaults } from '#contracts/kubernetes/defaults/defaults.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { validateCreate } from '#contracts/kubernetes/validation/validate.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/**
 * The one pod of a manifest file.
 *
 * @throws SkiffError INVALID_ARGUMENT with every problem and its line.
 */
export function decodePod(text: string, name: string): Pod {
  const pods = decodePods(text, name);
  const [pod] = pods;
  if (pod !== undefined && pods.length === 1) return pod;
  throw new SkiffError('INVALID_ARGUMENT', `${name}: expected one Pod, found ${pods.length}`);
}

/** The pods of a manifest: a Pod, several documents, or a list. @throws SkiffError as `decodePod` does. */
export function decodePods(text: string, name: string): Pod[] {
  const { objects, problems } = decodeManifests(text, name);
  if (problems.length > 0) throw problemsError(problems);
  return objects.map(completePod);
}

function completePod({ object, kind, file, locate }: ManifestObject): Pod {
  if (kind.kind !== 'Pod') {
    throw new SkiffError('INVALID_ARGUMENT', `${file}: expected a Pod, found a ${kind.kind}`);
  }
  object.metadata.namespace ||= 'default';
  applyDefaults(kind, object);
  const problems = validateCreate(kind, object);
  if (problems.length === 0) return object as Pod;
  const placed = problems.map(({ field, reason }) => ({ ...locate(parsePath(field)), file, field, reason }));
  throw problemsError(placed);
}
