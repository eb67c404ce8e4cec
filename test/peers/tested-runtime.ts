/**
 * The runtime that an integration test runs on: Debian's containerd, or Skiff's own CRI server where
 * `TESTED_RUNTIME=skiff`. A test file stays the same for both: `X-on-skiff.test.ts` sets the variable and imports
 * `X.test.ts`.
 */
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { startSkiff } from '../../bench/peers/skiff.ts';
import { startImages } from '../pods/images.ts';
import { busyboxImage, containerdInstalled, startContainerd } from './containerd.ts';

export interface TestedRuntime extends AsyncDisposable {
  readonly cri: CriClient;
  /** An image with busybox, which the runtime has or can pull. */
  readonly image: string;
}

const onSkiff = process.env.TESTED_RUNTIME === 'skiff';

/** Why it cannot be tested here; false if it can. */
export const runtimeMissing: string | false =
  onSkiff || containerdInstalled ? false : 'needs Debian package containerd';

/** Starts it. @param subnet for containerd: the third number of `10.99.N.0/24`, distinct among tests. */
export async function startTestedRuntime(subnet: number): Promise<TestedRuntime> {
  if (!onSkiff) {
    const peer = await startContainerd(subnet);
    return { cri: peer.cri, image: busyboxImage, [Symbol.asyncDispose]: () => peer.stop() };
  }
  return startSkiffRuntime();
}

/** Starts Skiff's own CRI server. */
export async function startSkiffRuntime(): Promise<TestedRuntime> {
  await using undo = new AsyncDisposableStack();
  const registry = undo.use(await startImages());
  const runtime = undo.use(await startSkiff());
  const cri = connectCri(runtime.endpoint);
  undo.defer(() => cri.close());
  const ending = undo.move();
  return {
    cri,
    image: `${registry.host}/pods/base:1`,
    [Symbol.asyncDispose]: () => ending.disposeAsync(),
  };
}
