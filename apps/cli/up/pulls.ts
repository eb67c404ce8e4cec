/** Follows every pull of the node, so that `skiff up` can show the kubelet's. */

import { type PullProgress, PullState } from '#contracts/admin/admin_pb.ts';
import { connectAdmin } from '#contracts/admin/client.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { pullLines } from '../output/pull-lines.ts';
import type { UpScreen } from './screen.ts';

/** Lines of one pull: the table of pods stands on the same screen. */
const rowsOfPull = 8;

/** Shows pulls on the screen until `signal` aborts. */
export async function followPulls(context: Context, screen: UpScreen, signal: AbortSignal): Promise<void> {
  using admin = connectAdmin(context.paths.criSocket);
  const pulls = new Map<string, PullProgress>();
  try {
    for await (const progress of admin.images.watchPulls({}, { signal })) {
      if (progress.state === PullState.DONE || progress.state === PullState.FAILED)
        pulls.delete(progress.image);
      else pulls.set(progress.image, progress);
      screen.pulls([...pulls.values()].flatMap((pull) => pullLines(pull, rowsOfPull)));
    }
  } catch (error) {
    // Only a picture: when the node goes, what follows the pods says so.
    if (!isSkiffError(error)) throw error;
  }
}
