/** An API in a temporary directory, for tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { silentLogger } from '#foundation/base/log.ts';
import { createKubeApi, type KubeApi } from '../index.ts';
import type { KubeletEndpoint } from '../pods/kubelet.ts';

/** A running API; `end` stops it and removes its directory. */
export interface TestApi extends KubeApi {
  directory: string;
  end(): Promise<void>;
}

/** Starts an API on a free port, with node `n1`. */
export async function startTestApi(
  kubeletEndpoint: KubeletEndpoint = { url: 'https://127.0.0.1:1' },
): Promise<TestApi> {
  const directory = mkdtempSync('/tmp/skiff-');
  const api = createKubeApi({
    directory,
    address: '127.0.0.1',
    port: 0,
    nodeName: 'n1',
    kubeletEndpoint,
    logger: silentLogger,
  });
  await api.start();
  return Object.assign(api, {
    directory,
    end: async () => {
      await api.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  });
}
