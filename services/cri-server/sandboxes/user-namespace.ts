/**
 * Namespaces of a pod with a user namespace. A process with several threads cannot make one (user_namespaces(7)),
 * so a short-lived child does: it makes all kinds at once, so that the user namespace owns the others, and this
 * process maps its ids, pins what it made, and ends it.
 */
import { readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { type IDMapping, IDMappingSchema } from '#contracts/cri/runtime_pb.ts';
import { errnoOf, isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import type { ThreadNamespace } from '#foundation/linux/namespaces.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';

/** Milliseconds the child may take until it has its namespaces. */
const childMs = 10_000;

/**
 * Makes a user namespace that owns new namespaces of `kinds`, and runs `pin` while they live.
 *
 * @param pin is given the process that has them, to pin /proc/PID/ns/KIND.
 * @throws SkiffError FAILED_PRECONDITION if the kernel makes no user namespaces.
 */
export async function withUserNamespace<T>(
  spawner: Spawner,
  kinds: readonly ThreadNamespace[],
  mappings: { uid: IDMapping; gid: IDMapping },
  pin: (pid: number) => T,
): Promise<T> {
  const options = { net: '--net', ipc: '--ipc', uts: '--uts' } as const;
  const child = spawner.spawn({
    file: 'unshare',
    args: ['--user', ...kinds.map((kind) => options[kind]), 'sleep', '60'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  try {
    await untilUnshared(child.pid);
    writeMap(child.pid, 'uid_map', mappings.uid);
    writeMap(child.pid, 'gid_map', mappings.gid);
    return pin(child.pid);
  } finally {
    child.kill(9);
    await child.exited;
  }
}

/**
 * Runs `use` with the path of a user namespace that ends after it.
 *
 * @returns undefined if the kernel makes none.
 */
export async function tryUserNamespace<T>(
  spawner: Spawner,
  use: (path: string) => T,
): Promise<T | undefined> {
  const mapping = create(IDMappingSchema, { containerId: 0, hostId: 65_536, length: 65_536 });
  try {
    return await withUserNamespace(spawner, [], { uid: mapping, gid: mapping }, (pid) =>
      use(`/proc/${pid}/ns/user`),
    );
  } catch (error) {
    if (isSkiffError(error)) return undefined;
    throw error;
  }
}

/** One unshare(2) makes all kinds, so that the user namespace tells for all. */
async function untilUnshared(pid: number): Promise<void> {
  const own = readlinkSync('/proc/self/ns/user');
  for (const end = performance.now() + childMs; performance.now() < end; ) {
    if (userNamespaceOf(pid) !== own) return;
    await sleep(1);
  }
  throw new SkiffError(
    'FAILED_PRECONDITION',
    'Cannot make a user namespace: unshare(1) failed; see /proc/sys/user/max_user_namespaces',
  );
}

function userNamespaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new SkiffError('FAILED_PRECONDITION', 'Cannot make a user namespace: unshare(1) ended at once');
  }
}

function writeMap(
  pid: number,
  file: 'uid_map' | 'gid_map',
  { containerId, hostId, length }: IDMapping,
): void {
  try {
    writeFileSync(`/proc/${pid}/${file}`, `${containerId} ${hostId} ${length}\n`, { flag: 'r+' });
  } catch (error) {
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `The kernel refuses the id mapping ${containerId}:${hostId}:${length} (${file}: ${errnoOf(error)})`,
      { cause: error },
    );
  }
}
