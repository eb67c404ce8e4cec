/** Synchronize: tells a new plugin of every pod and container, in as many messages as their size needs. */
import {
  type Container,
  type ContainerUpdate,
  Plugin as PluginService,
  type PodSandbox,
} from '#contracts/nri/nri_pb.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { isRemoteFailure } from '#foundation/grpc/ttrpc.ts';
import type { Plugin } from './plugin.ts';

/**
 * Synchronizes a plugin. It is the last step of its registration, and may take as long as one: a plugin with much to
 * learn of a full node answers late.
 *
 * @returns the updates that the plugin wants.
 * @throws SkiffError UNAVAILABLE if the plugin broke off; whatever it answered.
 */
export async function synchronize(
  plugin: Plugin,
  pods: readonly PodSandbox[],
  containers: readonly Container[],
  timeoutMs: number,
): Promise<ContainerUpdate[]> {
  let share = Math.max(pods.length, containers.length, 1);
  let [podsSent, containersSent] = [0, 0];
  for (;;) {
    const [podsNow, containersNow] = [podsSent + share, containersSent + share];
    const more = podsNow < pods.length || containersNow < containers.length;
    const request = {
      pods: pods.slice(podsSent, podsNow),
      containers: containers.slice(containersSent, containersNow),
      more,
    };
    try {
      const answer = await plugin.call(PluginService.method.synchronize, request, timeoutMs);
      if (answer === undefined) throw new SkiffError('UNAVAILABLE', `NRI plugin "${plugin.label}" broke off`);
      if (!more) return answer.update;
      if (!answer.more || answer.update.length > 0)
        throw new SkiffError(
          'UNIMPLEMENTED',
          `NRI plugin "${plugin.label}" takes no state in parts; use a newer one`,
        );
      [podsSent, containersSent] = [podsNow, containersNow];
    } catch (error) {
      if (share === 1 || isRemoteFailure(error) || !isSkiffError(error, 'RESOURCE_EXHAUSTED')) throw error;
      share = Math.ceil(share / 2);
    }
  }
}
