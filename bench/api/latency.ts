/** How long after a container began its API server tells that it runs. */
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { image } from './skiff-node.ts';

const pods = '/api/v1/namespaces/default/pods';

/**
 * Runs pods one after another, each of which makes a file as its first act; the file's time is the start.
 *
 * @param node the node that runs them; where it is one of several, the pods are bound to it.
 * @returns milliseconds from that to the watch's event, for each pod.
 */
export async function statusLatency(
  kubeconfig: string,
  node: { root: string; name: string },
  count: number,
): Promise<number[]> {
  await using client = openApi(loadKubeconfig(kubeconfig));
  const directory = join(node.root, 'started');
  mkdirSync(directory, { recursive: true, mode: 0o777 });
  const latencies: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const name = `latency-${process.pid}-${index}`;
    const stop = new AbortController();
    const events = client.watch<Pod>(pods, { fieldSelector: `metadata.name=${name}` }, stop.signal);
    const told = firstRunning(events);
    await client.create(pods, podWithFile(name, node.name, directory));
    const seen = await told;
    stop.abort();
    latencies.push(seen - statSync(join(directory, name)).mtimeMs);
    await client.delete(`${pods}/${name}`, { gracePeriodSeconds: 0 });
  }
  return latencies;
}

/** Milliseconds since the epoch of the first event with a container that runs. */
async function firstRunning(events: AsyncIterable<{ object: Pod }>): Promise<number> {
  for await (const { object } of events) {
    if (object.status?.containerStatuses?.[0]?.state?.running !== undefined)
      return performance.timeOrigin + performance.now();
  }
  throw new Error('the watch ended');
}

function podWithFile(name: string, nodeName: string, directory: string): object {
  return {
    metadata: { name },
    spec: {
      nodeName,
      tolerations: [{ operator: 'Exists' }],
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      volumes: [{ name: 'out', hostPath: { path: directory } }],
      containers: [
        {
          name: 'c',
          image,
          command: ['sh', '-c', `touch /out/${name}; sleep 100000`],
          volumeMounts: [{ name: 'out', mountPath: '/out' }],
        },
      ],
    },
  };
}
