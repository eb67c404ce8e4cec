/** Starts the peers side by side, with the same image and the same network configuration. */
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { startRegistry } from '../../conformance/cri/images/registry.ts';
import { testImages } from '../../conformance/cri/images/test-images.ts';
import { startContainerd } from '../peers/containerd.ts';
import type { Peer } from '../peers/peer.ts';
import { startSkiff } from '../peers/skiff.ts';

/** A peer that is ready to be measured. */
export interface Contestant {
  peer: Peer;
  cri: CriClient;
  image: string;
}

/** Starts Skiff and containerd and pulls the image into both. @param stack takes them down again. */
export async function startContestants(stack: AsyncDisposableStack): Promise<[Contestant, Contestant]> {
  const registry = stack.use(await startRegistry());
  const { base } = testImages();
  if (base === undefined) throw new Error('The base image is missing');
  const image = registry.publish('bench/base:1', base);
  const ready = async (peer: Peer): Promise<Contestant> => {
    stack.use(peer);
    const cri = stack.use(connectCri(peer.endpoint));
    await cri.images.pullImage({ image: { image } });
    return { peer, cri, image };
  };
  return [await ready(await startSkiff()), await ready(await startContainerd(registry))];
}

/** A line that says what was compared. */
export async function describe({ peer, cri }: Contestant): Promise<string> {
  const { runtimeName, runtimeVersion } = await cri.runtime.version({});
  return `${peer.name}: ${runtimeName} ${runtimeVersion}, process ${peer.pid}`;
}
