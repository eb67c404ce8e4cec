/** `skiff events`: what happened to pods, from the API; without one, the runtime's container events. */

import { ContainerEventType } from '#contracts/cri/runtime_pb.ts';
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import type { CoreEvent } from '#contracts/kubernetes/types.ts';
import type { Context } from '../context.ts';
import { connectApi } from '../node/api.ts';
import { connectNode } from '../node/cri.ts';
import { readNodeInfo } from '../node/info.ts';
import { podDisplayName } from '../node/labels.ts';
import { age } from '../output/units.ts';

interface Options {
  follow?: boolean;
  json?: boolean;
}

/** Prints events, oldest first. */
export async function run(context: Context, options: Options): Promise<void> {
  if (readNodeInfo(context.paths)?.kubeconfig === undefined) return runtimeEvents(context, options);
  await using api = connectApi(context);
  await apiEvents(context, api, options);
}

async function apiEvents(context: Context, api: ApiClient, options: Options): Promise<void> {
  const list = await api.get<{ metadata: { resourceVersion: string }; items: CoreEvent[] }>('/api/v1/events');
  const time = (event: CoreEvent) => Date.parse(event.lastTimestamp ?? event.eventTime ?? '') || 0;
  for (const event of list.items.sort((a, b) => time(a) - time(b)))
    printEvent(context, event, time(event), options);
  if (options.follow !== true) return;
  const query = { resourceVersion: list.metadata.resourceVersion };
  for await (const { type, object } of api.watch<CoreEvent>('/api/v1/events', query, context.interrupted)) {
    if (type === 'ADDED' || type === 'MODIFIED') printEvent(context, object, time(object), options);
  }
}

function printEvent(context: Context, event: CoreEvent, time: number, options: Options): void {
  if (options.json === true) {
    context.out.write(`${JSON.stringify(event)}\n`);
    return;
  }
  const { styles } = context;
  const kind = event.type === 'Warning' ? styles.yellow('Warning') : 'Normal ';
  const subject = `${event.involvedObject.kind?.toLowerCase()}/${event.involvedObject.name}`;
  const times = (event.count ?? 1) > 1 ? styles.dim(` (x${event.count})`) : '';
  const ago = age(Date.now() - time).padStart(6);
  context.out.write(`${ago}  ${kind}  ${subject}  ${event.reason}: ${event.message?.trim()}${times}\n`);
}

const words: Record<number, string> = {
  [ContainerEventType.CONTAINER_CREATED_EVENT]: 'created',
  [ContainerEventType.CONTAINER_STARTED_EVENT]: 'started',
  [ContainerEventType.CONTAINER_STOPPED_EVENT]: 'stopped',
  [ContainerEventType.CONTAINER_DELETED_EVENT]: 'deleted',
};

/** The runtime keeps no history: events are printed as they come. */
async function runtimeEvents(context: Context, options: Options): Promise<void> {
  using cri = connectNode(context, 'events');
  for await (const event of cri.runtime.getContainerEvents({}, { signal: context.interrupted })) {
    const at = new Date(Number(event.createdAt / 1_000_000n)).toISOString();
    const pod = podDisplayName(event.podSandboxStatus?.labels ?? {});
    const word = words[event.containerEventType] ?? 'changed';
    const line = { at, event: word, id: event.containerId, pod };
    context.out.write(
      options.json === true
        ? `${JSON.stringify(line)}\n`
        : `${at}  ${word.padEnd(8)} ${line.id.slice(0, 13)}  ${pod}\n`,
    );
  }
}
