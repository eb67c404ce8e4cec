/** Half of the cases on Skiff's kubelet and Debian's containerd: what another's runtime can do, the pods show there too. */
import { test } from 'node:test';
import { startContainerd } from '../../bench/peers/containerd.ts';
import { startRegistry } from '../../conformance/cri/images/registry.ts';
import { containerdInstalled } from '../peers/containerd.ts';
import { facilities } from './case.ts';
import { openStage } from './fixture.ts';
import { testCases } from './test-cases.ts';

const skip = containerdInstalled ? false : 'needs Debian package containerd';

/** Debian's 1.6 is older than image volumes and user namespaces. */
const has = facilities.filter((each) => each !== 'image-volumes' && each !== 'user-namespaces');

/** Declares the test; the other half is another file's. */
export function testOnContainerd(half: 0 | 1): void {
  test('pods on containerd', { skip, timeout: 290_000 }, async (t) => {
    await using registry = await startRegistry();
    await using runtime = await startContainerd(registry);
    await using stage = await openStage({ endpoint: runtime.endpoint, facilities: has });
    await testCases(t, stage, half);
  });
}
