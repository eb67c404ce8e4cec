/**
 * Restoring: a container whose image is the path of a checkpoint's archive is made of the image that the archive
 * names, with the changes of then, and goes on where it was when it is started (KEP-2008; the same in CRI-O and
 * containerd).
 */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { CreateContainerRequest } from '#contracts/cri/runtime_pb.ts';
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { inNamespaces, setHostname } from '#foundation/linux/namespaces.ts';
import { identify, isRunning, type ProcessIdentity } from '#foundation/linux/process.ts';
import type { LocalImage } from '../../ports.ts';
import type { Core } from '../deps.ts';
import { bundleOf, specOf } from '../places.ts';
import type { Container } from '../table.ts';
import { imageNames, names, readDescription } from './archive.ts';
import { checkpointDirectory } from './checkpoint.ts';
import { requireCriu } from './criu.ts';

/** A checkpoint that is laid out; disposing removes what was not taken. */
export interface OpenCheckpoint extends Disposable {
  image: LocalImage;
  /** The archive of what the container had changed, if it had. */
  changes?: string;
  /** Moves CRIU's images to the container that will be restored of them. */
  give(bundle: string): void;
}

/**
 * Opens the checkpoint that a request names in place of an image.
 *
 * @returns undefined if it names an image.
 * @throws SkiffError INVALID_ARGUMENT for other files, NOT_FOUND if the image of then is not here.
 */
export async function openCheckpoint(
  core: Pick<Core, 'images' | 'paths'>,
  { config }: CreateContainerRequest,
): Promise<OpenCheckpoint | undefined> {
  const archive = config?.image?.image ?? '';
  if (!isAbsolute(archive)) return undefined;
  const directory = mkdtempSync(join(checkpointDirectory(core.paths), 'restore-'));
  const content = join(directory, 'content');
  try {
    if (statSync(archive, { throwIfNoEntry: false })?.isFile() !== true)
      throw new SkiffError('NOT_FOUND', 'there is no such file');
    await core.images.layOut(archive, content);
    const changes = join(content, names.changes);
    return {
      image: imageOf(core, content),
      ...(existsSync(changes) ? { changes } : {}),
      give: (bundle) => renameSync(join(content, names.images), imagesIn(bundle)),
      [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
    };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw wrapError(error, `Cannot open the checkpoint "${archive}"`);
  }
}

function imageOf({ images }: Pick<Core, 'images'>, content: string): LocalImage {
  const wanted = imageNames(readDescription(content));
  for (const name of wanted) {
    const found = images.find(name);
    if (found !== undefined) return found;
  }
  throw new SkiffError(
    'NOT_FOUND',
    `the image of its container, ${wanted.at(-1) ?? 'which it does not name'}, is not on this machine; pull it first`,
  );
}

/**
 * Restores: the processes run when it returns.
 *
 * @throws SkiffError FAILED_PRECONDITION without CRIU, INTERNAL with what the runtime said.
 */
export async function restoreProcess(core: Core, container: Container): Promise<ProcessIdentity> {
  const { id, config, record } = container;
  const driver = core.runtimes.driver(record.runtime);
  await requireCriu(driver);
  const bundle = bundleOf(core.paths, id);
  const { pid } = await driver.create({
    id,
    bundle,
    spec: specOf(core, container),
    stdin: config.stdin,
    stdinStaysOpen: config.stdin && !config.stdinOnce,
    restoreFrom: imagesIn(bundle),
    ...(record.logPath === '' ? {} : { logPath: record.logPath }),
  });
  rmSync(imagesIn(bundle), { recursive: true, force: true });
  const process = identify(pid) ?? { pid, startTime: 0 };
  renameHost(core, container, process);
  return process;
}

/** CRIU makes the UTS namespace anew, with the name of the pod of then; it shall be called as its pod is now. */
function renameHost(core: Core, { id, record }: Container, process: ProcessIdentity): void {
  const sandbox = core.sandboxes.find(record.sandboxId);
  if (sandbox?.namespaces.uts === undefined) return;
  try {
    const name = readFileSync(sandbox.files.hostname, 'utf8').trim();
    if (isRunning(process)) inNamespaces({ uts: `/proc/${process.pid}/ns/uts` }, () => setHostname(name));
  } catch (error) {
    core.log.warn({ container: id, why: messageOf(error) }, 'a restored container keeps its old host name');
  }
}

function imagesIn(bundle: string): string {
  return join(bundle, 'checkpoint');
}
