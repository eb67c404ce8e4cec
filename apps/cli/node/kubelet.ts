/** The kubelet of this root, asked over its unix socket (the same API as on port 10250). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, type Dispatcher, request } from 'undici';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';

/** Where the kubelet of this root answers. */
export function kubeletSocket(context: Context): string {
  return join(context.paths.run, 'kubelet.sock');
}

/** Every pod that the kubelet knows, with its status; none when no kubelet runs. */
export async function readPods(context: Context): Promise<Pod[]> {
  if (!existsSync(kubeletSocket(context))) return [];
  await using kubelet = openKubelet(context);
  const body = await kubelet.get('/pods');
  const list = (await body.json()) as { items?: Pod[] };
  return list.items ?? [];
}

/** A connection to the kubelet's API. */
export interface KubeletConnection extends AsyncDisposable {
  /** GETs a path. @throws SkiffError with the kubelet's words when it answers an error. */
  get(path: string, signal?: AbortSignal): Promise<Dispatcher.ResponseData['body']>;
}

/** Opens a connection; nothing is sent yet. */
export function openKubelet(context: Context): KubeletConnection {
  const agent = new Agent({ connect: { socketPath: kubeletSocket(context) }, bodyTimeout: 0 });
  return {
    async get(path, signal) {
      const response = await request(`http://kubelet${path}`, { dispatcher: agent, signal }).catch(
        (error: unknown) => {
          throw wrapError(error, 'Cannot ask the kubelet');
        },
      );
      if (response.statusCode < 400) return response.body;
      const said = (await response.body.text()).trim();
      throw new SkiffError(
        response.statusCode === 404 ? 'NOT_FOUND' : 'INTERNAL',
        said || `HTTP ${response.statusCode}`,
      );
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}
