/**
 * Manifests of static pods: decoded, completed and checked as an API server would, with lines for problems. Unknown fields,
 * double keys and documents after the first are passed over, as the original does: a manifest for a newer one must run.
 */
import { problemsError } from '#contracts/kubernetes/decode/load.ts';
import {
  decodeManifests,
  formatProblem,
  type ManifestObject,
  type ManifestProblem,
} from '#contracts/kubernetes/decode/manifest.ts';
import { parsePath } from '#contracts/kubernetes/decode/path.ts';
import { applyDefaults } from '#contracts/kubernetes/defaults/defaults.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { validateCreate } from '#contracts/kubernetes/validation/validate.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/**
 * The one pod of a manifest file.
 *
 * @param passedOver hears of each thing that is passed over, with its place.
 * @throws SkiffError INVALID_ARGUMENT with every problem and its line.
 */
export function decodePod(text: string, name: string, passedOver?: (problem: string) => void): Pod {
  const pods = decodePods(text, name, passedOver);
  const [pod] = pods;
  if (pod !== undefined && pods.length === 1) return pod;
  throw new SkiffError('INVALID_ARGUMENT', `${name}: expected one Pod, found ${pods.length}`);
}

/** The pods of a manifest: a Pod or a list. @throws SkiffError as `decodePod` does. */
export function decodePods(text: string, name: string, passedOver?: (problem: string) => void): Pod[] {
  const { objects, problems } = decodeManifests(text, name, true);
  if (problems.some(({ passable }) => passable !== true)) throw problemsError(problems);
  const pods = objects.map((each) => completePod(each, problems));
  for (const problem of problems) passedOver?.(formatProblem(problem));
  return pods;
}

/** @param others what would be passed over: where something else is wrong too, it may be the reason. */
function completePod(
  { object, kind, file, locate }: ManifestObject,
  others: readonly ManifestProblem[],
): Pod {
  if (kind.kind !== 'Pod') {
    throw new SkiffError('INVALID_ARGUMENT', `${file}: expected a Pod, found a ${kind.kind}`);
  }
  object.metadata.namespace ||= 'default';
  applyDefaults(kind, object);
  const problems = validateCreate(kind, object);
  if (problems.length === 0) return object as Pod;
  const placed = problems.map(({ field, reason }) => ({ ...locate(parsePath(field)), file, field, reason }));
  throw problemsError([...others, ...placed]);
}
