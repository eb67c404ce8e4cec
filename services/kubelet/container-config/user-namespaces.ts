/**
 * User namespaces of pods with `hostUsers: false` (KEP-127): each gets ids of the host for itself, 65536 unless told, written down
 * beside the pod, so that a restart of the kubelet gives the same ones and no two pods ever share any.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { NamespaceMode, type UserNamespaceSchema } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { UserRange } from './user-range.ts';

/** A mapping as it stands on disk and in the CRI. */
interface Mapping {
  hostId: number;
  containerId: number;
  length: number;
}

/** The file `pods/UID/userns`; the shape of the original's. */
interface UserNamespaceFile {
  uidMappings: Mapping[];
  gidMappings: Mapping[];
}

/** Gives pods their ids. */
export interface UserNamespaces {
  /**
   * The option for the CRI.
   *
   * @throws SkiffError FAILED_PRECONDITION if the runtime cannot do it or no range is free.
   */
  options(pod: Pod): MessageInitShape<typeof UserNamespaceSchema>;
}

/** @param supported whether the handler that the pod asks for makes user namespaces. */
export function createUserNamespaces(deps: {
  kubeletRoot: string;
  range: UserRange;
  supported: (pod: Pod) => boolean;
}): UserNamespaces {
  const pods = join(deps.kubeletRoot, 'pods');
  return {
    options(pod) {
      if (pod.spec.hostUsers !== false) return { mode: NamespaceMode.NODE };
      if (!deps.supported(pod))
        throw new SkiffError(
          'FAILED_PRECONDITION',
          `RuntimeClass handler "${pod.spec.runtimeClassName ?? ''}" does not support user namespaces`,
        );
      const uid = pod.metadata.uid ?? '';
      const file = read(join(pods, uid, 'userns')) ?? allocate(pods, uid, deps.range);
      return { mode: NamespaceMode.POD, uids: file.uidMappings, gids: file.gidMappings };
    },
  };
}

/** Takes the lowest free range and writes it down before anybody uses it. */
function allocate(pods: string, uid: string, range: UserRange): UserNamespaceFile {
  const taken = new Set<number>();
  for (const other of existsSync(pods) ? readdirSync(pods) : [])
    for (const { hostId } of read(join(pods, other, 'userns'))?.uidMappings ?? []) taken.add(hostId);
  for (let index = 0; index < range.pods; index++) {
    const hostId = range.first + index * range.perPod;
    if (taken.has(hostId)) continue;
    const mapping = { hostId, containerId: 0, length: range.perPod };
    const file = { uidMappings: [mapping], gidMappings: [mapping] };
    mkdirSync(join(pods, uid), { recursive: true, mode: 0o750 });
    replaceFileSync(join(pods, uid, 'userns'), JSON.stringify(file));
    return file;
  }
  throw new SkiffError('RESOURCE_EXHAUSTED', `no range of ${range.perPod} user ids is free for another pod`);
}

function read(path: string): UserNamespaceFile | undefined {
  if (!existsSync(path)) return undefined;
  return JSON.parse(readFileSync(path, 'utf8')) as UserNamespaceFile;
}
