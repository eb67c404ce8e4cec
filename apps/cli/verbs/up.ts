/** `skiff up`: runs the pods of manifests and follows them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { requireRoot } from '../context.ts';
import { connectApi } from '../node/api.ts';
import { connectNode } from '../node/cri.ts';
import { readNodeInfo } from '../node/info.ts';
import { ensureNode } from '../node/start.ts';
import { applyObject } from '../up/apply.ts';
import { buildMissingImages } from '../up/build-images.ts';
import { type Manifest, readManifests } from '../up/manifests.ts';
import { followLogs } from '../up/pod-logs.ts';
import { followPulls } from '../up/pulls.ts';
import { type UpScreen, upScreen } from '../up/screen.ts';
import { followPods, type Session } from '../up/session.ts';
import { deleteObjects, stopIdleNode } from '../up/teardown.ts';
import { publishedAddresses } from '../up/urls.ts';
import { podKey } from '../up/watch-pods.ts';
import { parseSeconds } from './stop.ts';

/** Milliseconds to wait for the rest of the logs of pods that have ended. */
const lastWordsMs = 10_000;

interface Options {
  detach?: boolean;
  timeout: string;
}

/** Applies the manifests, waits until the pods are ready, then follows their logs until Ctrl-C. */
export async function run(context: Context, files: string[], options: Options): Promise<void> {
  const manifests = readManifests(files);
  requireRoot('up', 'to make namespaces, mounts and cgroups');
  const timeoutMs = parseSeconds(options.timeout) * 1000;
  if (readNodeInfo(context.paths) === undefined) context.err.write('starting the node\n');
  await ensureNode(context);
  await using api = connectApi(context);
  const screen = upScreen(context);
  try {
    await startPods(context, api, manifests, screen);
    await watchOver(context, api, manifests, screen, { detach: options.detach === true, timeoutMs });
  } finally {
    screen.end();
    if (options.detach !== true) await takeDown(context, api, manifests);
  }
}

async function startPods(
  context: Context,
  api: ApiClient,
  manifests: Manifest[],
  screen: UpScreen,
): Promise<void> {
  using cri = connectNode(context, 'up');
  const pods = manifests.filter((each) => each.kind === 'Pod') as unknown as Pod[];
  await buildMissingImages(context, cri, pods, screen);
  for (const manifest of manifests) {
    const outcome = await applyObject(api, manifest, context.interrupted);
    screen.print(`${manifest.kind.toLowerCase()}/${manifest.metadata.name} ${outcome}`);
  }
}

async function watchOver(
  context: Context,
  api: ApiClient,
  manifests: Manifest[],
  screen: UpScreen,
  { detach, timeoutMs }: { detach: boolean; timeoutMs: number },
): Promise<void> {
  const keys = new Set(manifests.filter((each) => each.kind === 'Pod').map(podKey));
  const watching = new AbortController();
  const signal = AbortSignal.any([watching.signal, context.interrupted]);
  const session = followPods(api, keys, screen, signal);
  try {
    void followPulls(context, screen, signal);
    await waitReady(session, timeoutMs, detach, screen);
    announce(context, session, screen, detach);
    if (detach) return;
    screen.end();
    const ended = new AbortController();
    const logs = followLogs(context, [...session.pods.values()], { signal, ended: ended.signal });
    process.exitCode = await session.untilEnded();
    ended.abort();
    await Promise.race([logs, sleep(lastWordsMs, undefined, { signal })]);
  } catch (error) {
    // Ctrl-C is the ordinary end of an `up` that follows its pods.
    if (detach || !context.interrupted.aborted) throw error;
  } finally {
    watching.abort();
  }
}

/** Detached, a problem ends the command; followed, it is shown and the kubelet goes on trying. */
async function waitReady(session: Session, ms: number, detach: boolean, screen: UpScreen): Promise<void> {
  try {
    await session.untilReady(ms);
  } catch (error) {
    if (detach || isSkiffError(error, 'CANCELLED')) throw error;
    screen.print(messageOf(error));
  }
}

function announce(context: Context, session: Session, screen: UpScreen, detach: boolean): void {
  const { styles } = context;
  for (const pod of session.pods.values()) {
    for (const address of publishedAddresses(pod))
      screen.print(`${pod.metadata?.name}: ${styles.bold(styles.cyan(address))}`);
  }
  screen.print(
    styles.dim(detach ? 'running in the background; `skiff down` ends it' : 'Ctrl-C ends the pods'),
  );
}

async function takeDown(context: Context, api: ApiClient, manifests: Manifest[]): Promise<void> {
  context.err.write(
    context.interrupted.aborted && context.interactive ? '\nending the pods\n' : 'ending the pods\n',
  );
  const never = new AbortController().signal;
  try {
    await deleteObjects(api, manifests, undefined, never);
    if (await stopIdleNode(context, api)) context.err.write('the node has ended\n');
  } catch (error) {
    throw new SkiffError(
      'INTERNAL',
      `could not end everything (\`skiff down\` tries again): ${messageOf(error)}`,
      { cause: error },
    );
  }
}
