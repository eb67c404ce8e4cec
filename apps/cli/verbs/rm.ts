/** `skiff rm`: removes containers or pods. */
import type { CriClient } from '#contracts/cri/client.ts';
import { ContainerState } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';
import { endPod } from '../node/pods.ts';
import { findTarget } from '../node/targets.ts';

/** Removes each in turn. */
export async function run(context: Context, names: string[], options: { force?: boolean }): Promise<void> {
  using cri = connectNode(context, 'rm');
  for (const name of names) {
    await removeOne(context, cri, name, options.force === true);
    context.out.write(`${name}\n`);
  }
}

async function removeOne(context: Context, cri: CriClient, name: string, force: boolean): Promise<void> {
  const target = await findTarget(cri, name);
  const containers = target.kind === 'pod' ? target.containers : [target.container];
  const running = containers.some((each) => each.state === ContainerState.CONTAINER_RUNNING);
  if (running && !force) {
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `"${name}" is running: stop it first, or use \`skiff rm -f\``,
    );
  }
  if (target.kind === 'pod') {
    await endPod(context, cri, target, force ? 0 : undefined);
    for (const sandbox of target.sandboxes) await cri.runtime.removePodSandbox({ podSandboxId: sandbox.id });
    return;
  }
  await cri.runtime.removeContainer({ containerId: target.container.id });
}
