/**
 * Images that `skiff up` builds by itself from Debian packages, when they are not there and the pod says how:
 *
 *   metadata.annotations["image.skiff.dev/NAME"]: debian PACKAGE...
 *
 * with the image's name for NAME, its slashes and colon written as `_`.
 */
import type { CriClient } from '#contracts/cri/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** An image to build. */
export interface DebianRecipe {
  /** The name that the pod's containers use. */
  image: string;
  packages: string[];
}

const prefix = 'image.skiff.dev/';

/** The recipes of a pod, for those of its images that are not on this machine. */
export async function missingRecipes(cri: CriClient, pod: Pod): Promise<DebianRecipe[]> {
  const recipes = recipesOf(pod);
  const missing: DebianRecipe[] = [];
  for (const recipe of recipes) {
    const { image } = await cri.images.imageStatus({ image: { image: recipe.image } });
    if (image === undefined) missing.push(recipe);
  }
  return missing;
}

/** The recipes in a pod's annotations. @throws SkiffError INVALID_ARGUMENT for one that cannot be understood. */
function recipesOf(pod: Pod): DebianRecipe[] {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const images = [...new Set(containers.map((each) => each.image ?? ''))];
  return Object.entries(pod.metadata?.annotations ?? {})
    .filter(([key]) => key.startsWith(prefix))
    .map(([key, text]) => {
      const image = images.find((each) => annotationKey(each) === key);
      const [method, ...packages] = text.trim().split(/\s+/);
      if (image === undefined) throw bad(pod, key, 'no container of the pod uses such an image');
      if (method !== 'debian' || packages.length === 0)
        throw bad(pod, key, `"${text}" is not \`debian PACKAGE...\``);
      return { image, packages };
    });
}

function annotationKey(image: string): string {
  return prefix + image.replace(/[/:]/g, '_');
}

function bad(pod: Pod, key: string, reason: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `pod "${pod.metadata?.name}": annotation ${key}: ${reason}`);
}
