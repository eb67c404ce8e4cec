/** `skiff stop`: stops containers, or ends pods. */
import type { CriClient } from '#contracts/cri/client.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';
import { Label } from '../node/labels.ts';
import { endPod } from '../node/pods.ts';
import { findTarget } from '../node/targets.ts';

/** Seconds between SIGTERM and SIGKILL unless told otherwise; docker's. */
const defaultStopSeconds = 10;

/** Stops each in turn. */
export async function run(context: Context, names: string[], options: { time?: string }): Promise<void> {
  using cri = connectNode(context, 'stop');
  const seconds = options.time === undefined ? undefined : parseSeconds(options.time);
  for (const name of names) {
    await stopOne(context, cri, name, seconds);
    context.out.write(`${name}\n`);
  }
}

/** Parses a number of seconds. @throws SkiffError INVALID_ARGUMENT */
export function parseSeconds(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new SkiffError('INVALID_ARGUMENT', `"${text}" is not a number of seconds`);
}

async function stopOne(
  context: Context,
  cri: CriClient,
  name: string,
  seconds: number | undefined,
): Promise<void> {
  const target = await findTarget(cri, name);
  if (target.kind === 'pod') {
    await endPod(context, cri, target, seconds);
    return;
  }
  const timeout = BigInt(Math.round(seconds ?? defaultStopSeconds));
  await cri.runtime.stopContainer({ containerId: target.container.id, timeout });
  if (target.container.labels[Label.podUid] === undefined) return;
  context.err.write(
    "skiff: the container is its pod's; the kubelet may start it again by the pod's restartPolicy\n",
  );
}
