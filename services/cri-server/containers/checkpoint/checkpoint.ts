/**
 * CheckpointContainer: CRIU writes the processes of a running container into files, and an archive is made of these,
 * of the container's description and of what it changed in its root. The container stands still meanwhile, so that
 * memory and files belong together, and goes on afterwards.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type { CheckpointContainerRequest } from '#contracts/cri/runtime_pb.ts';
import type { RuntimeDriver } from '#contracts/oci/runtime-driver.ts';
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { syncDirectory } from '#foundation/base/files.ts';
import { runCommand } from '#foundation/linux/command.ts';
import type { Core } from '../deps.ts';
import { isRunning } from '../lifecycle.ts';
import { specOf } from '../places.ts';
import type { Container } from '../table.ts';
import { type Description, names } from './archive.ts';
import { requireCriu } from './criu.ts';

/** Milliseconds that packing may take. */
const packMs = 600_000;

/** What the request asks for. */
export type CheckpointRequest = Pick<CheckpointContainerRequest, 'containerId' | 'location' | 'timeout'>;

/**
 * Checkpoints a running container into the file `location`, which is replaced when the archive is complete.
 *
 * @throws SkiffError INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION (not running, no CRIU, a user namespace), or
 *   INTERNAL with CRIU's words; the container runs on.
 */
export async function checkpointContainer(
  core: Core,
  { containerId, location, timeout }: CheckpointRequest,
  signal: AbortSignal,
): Promise<void> {
  const container = core.table.get(containerId);
  try {
    if (!isAbsolute(location))
      throw new SkiffError('INVALID_ARGUMENT', `the location "${location}" is no absolute path of a file`);
    if (timeout < 0n) throw new SkiffError('INVALID_ARGUMENT', `the timeout ${timeout} is below 0`);
    const timeoutMs = timeout === 0n ? undefined : Number(timeout) * 1000;
    await core.locks.run(container.id, () => checkpointLocked(core, container, location, timeoutMs), signal);
  } catch (error) {
    throw wrapError(error, `Cannot checkpoint container "${containerId}"`);
  }
}

async function checkpointLocked(
  core: Core,
  container: Container,
  location: string,
  timeoutMs: number | undefined,
): Promise<void> {
  const { life, runtime, sandboxId } = container.record;
  if (!isRunning(life)) throw new SkiffError('FAILED_PRECONDITION', `it is ${life.phase}, not running`);
  if (core.sandboxes.find(sandboxId)?.namespaces.user !== undefined)
    // Seen with CRIU 4.1 and runc 1.1.5: the dump works, then "Can't setns 16/net: Operation not permitted".
    throw new SkiffError(
      'FAILED_PRECONDITION',
      'its pod has a user namespace: CRIU restores into one that it makes, and the kernel lets nobody in there ' +
        "join the pod's network; run the pod without (hostUsers: true)",
    );
  const driver = core.runtimes.driver(runtime);
  await requireCriu(driver);
  const work = mkdtempSync(join(checkpointDirectory(core.paths), 'dump-'));
  try {
    await dump(core, driver, container, work, timeoutMs);
    await pack(work, location);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function dump(
  core: Core,
  driver: RuntimeDriver,
  container: Container,
  work: string,
  timeoutMs: number | undefined,
): Promise<void> {
  const { id } = container;
  const imageDirectory = join(work, names.images);
  mkdirSync(imageDirectory);
  await driver.pause(id);
  try {
    const to = { imageDirectory, workDirectory: work, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
    await driver.checkpoint(id, to);
    const { deleted } = await core.images.saveChanges(id, join(work, names.changes));
    writeFileSync(join(work, names.deleted), JSON.stringify(deleted));
  } finally {
    await driver.resume(id).catch((error: unknown) => {
      core.log.error({ container: id, why: messageOf(error) }, 'a container that was paused does not go on');
    });
  }
  writeFileSync(join(work, names.spec), JSON.stringify(specOf(core, container)));
  writeFileSync(join(work, names.config), JSON.stringify(describe(container)));
}

function describe({ id, record, config }: Container): Description {
  const time = (nanoseconds: bigint) => new Date(Number(nanoseconds / 1_000_000n)).toISOString();
  return {
    id,
    name: config.metadata?.name ?? '',
    rootfsImageName: config.image?.userSpecifiedImage || record.image.name,
    rootfsImageRef: record.image.ref,
    rootfsImage: record.image.id,
    runtime: record.runtime,
    createdTime: time(record.createdAt),
    checkpointedTime: new Date().toISOString(),
  };
}

/** It holds all that the processes had in memory, so only root may read it. */
async function pack(work: string, location: string): Promise<void> {
  mkdirSync(dirname(location), { recursive: true, mode: 0o700 });
  const half = `${location}.half`;
  writeFileSync(half, '', { mode: 0o600 });
  try {
    const kept = Object.values(names).filter((name) => existsSync(join(work, name)));
    await runCommand({ file: 'tar', args: ['-cf', half, '-C', work, ...kept], timeoutMs: packMs });
    await runCommand({ file: 'sync', args: [half] });
    renameSync(half, location);
    syncDirectory(dirname(location));
  } finally {
    rmSync(half, { force: true });
  }
}

/** Where archives are made and read; emptied at the start. */
export function checkpointDirectory({ lib }: Pick<Core['paths'], 'lib'>): string {
  const directory = join(lib, 'checkpoints');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}

/** Removes what a crash left half made. */
export function recoverCheckpoints({ lib }: Pick<Core['paths'], 'lib'>): void {
  rmSync(join(lib, 'checkpoints'), { recursive: true, force: true });
}
