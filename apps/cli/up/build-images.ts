/** Builds the images that pods have recipes for and that are not here. */
import { connectAdmin } from '#contracts/admin/client.ts';
import type { CriClient } from '#contracts/cri/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Context } from '../context.ts';
import { missingRecipes } from './images.ts';
import type { UpScreen } from './screen.ts';

/** Builds one after another; an image that two pods name is built once. */
export async function buildMissingImages(
  context: Context,
  cri: CriClient,
  pods: readonly Pod[],
  screen: UpScreen,
): Promise<void> {
  using admin = connectAdmin(context.paths.criSocket);
  for (const pod of pods) {
    for (const { image, packages } of await missingRecipes(cri, pod)) {
      screen.print(`building ${image} from Debian: ${packages.join(' ')}`);
      for await (const { line } of admin.images.buildDebian(
        { name: image, packages },
        { signal: context.interrupted },
      )) {
        if (line !== '') screen.pulls([`  ${line}`]);
      }
      screen.pulls([]);
      screen.print(`built ${image}`);
    }
  }
}
