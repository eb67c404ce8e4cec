/** What every verb is given. */

import type { Supervisor } from '#contracts/vm/supervisor_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Channel, Client } from '#foundation/grpc/client.ts';
import { openLeanChannel } from '#foundation/grpc/lean-client.ts';
import { containerStateFile, type PodPaths, podPathsIn } from '../supervisor/paths.ts';
import { type ContainerRecord, loadRecord } from '../supervisor/records.ts';
import { ensureSupervisor } from './launch.ts';

/** Global options, and where the runtime's own parts are. */
export interface Context {
  /** The runtime's root. */
  root: string;
  /** What is made once for all roots: guest images, the shim. */
  cache: string;
  /** What is written to standard output. */
  print(text: string): void;
}

/** Typed calls of a supervisor. */
export type SupervisorClient = Client<typeof Supervisor>;

/** The record of a container. @throws SkiffError NOT_FOUND */
export function recordOf(context: Context, id: string): ContainerRecord {
  const record = loadRecord<ContainerRecord>(containerStateFile(context.root, id));
  if (record === undefined) throw new SkiffError('NOT_FOUND', `container "${id}" does not exist`);
  return record;
}

/** Works with the supervisor of a container; one that died is started anew. */
export async function withSupervisor<T>(
  context: Context,
  id: string,
  work: (client: SupervisorClient, record: ContainerRecord) => Promise<T>,
): Promise<T> {
  const record = recordOf(context, id);
  return withPod(context, podPathsIn(record.pod), (client) => work(client, record));
}

/** Works with the supervisor of a pod. */
export async function withPod<T>(
  context: Context,
  pod: PodPaths,
  work: (client: SupervisorClient) => Promise<T>,
): Promise<T> {
  await ensureSupervisor(context, pod);
  const { Supervisor: service } = await import('#contracts/vm/supervisor_pb.ts');
  using channel: Channel = openLeanChannel(pod.socket);
  return await work(channel.client(service));
}
