/** Handlers of the admin service that move and check whole images: push, load, save, verify. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  ArchiveFormat,
  type Images as ImagesService,
  LayerState,
  type PushProgressSchema,
  type VerifyProgressSchema,
} from '#contracts/admin/admin_pb.ts';
import { asyncQueue } from '#foundation/base/async-queue.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import { forPeople } from './failures.ts';
import type { Checked, Images, PushProgress } from './index.ts';

type PushMessage = MessageInitShape<typeof PushProgressSchema>;
type VerifyMessage = MessageInitShape<typeof VerifyProgressSchema>;

/** Makes these handlers. */
export function archiveHandlers(
  images: Images,
): Pick<Handlers<typeof ImagesService>, 'push' | 'load' | 'save' | 'verify'> {
  return {
    push: ({ image, credentials }, { signal }) => {
      const auth = credentials && { username: credentials.username, password: credentials.password };
      return push(images, { source: image, ...(auth && { auth }) }, signal);
    },
    load: async ({ path }, { signal }) => {
      const loaded = await images.load(path, signal);
      return { names: loaded.flatMap((image) => image.repoTags), imageIds: loaded.map((image) => image.id) };
    },
    save: async ({ images: references, path, format }) => {
      const kind = format === ArchiveFormat.DOCKER_ARCHIVE ? 'docker' : 'oci';
      const directory = format === ArchiveFormat.OCI_DIRECTORY;
      return { bytes: BigInt(await images.save({ references, path, format: kind, directory })) };
    },
    verify: ({ checkOnly, images: references }, { signal }) => verify(images, references, checkOnly, signal),
  };
}

async function* push(
  images: Images,
  request: { source: string; auth?: { username: string; password: string } },
  signal: AbortSignal,
): AsyncGenerator<PushMessage> {
  const queue = asyncQueue<PushMessage>();
  const blobs = new Map<string, PushProgress>();
  const onProgress = (progress: PushProgress) => {
    blobs.set(progress.digest, progress);
    queue.push({ layers: [...blobs.values()].map(layerOf) });
  };
  images.push({ ...request, onProgress }, signal).then(
    ({ digest }) => {
      queue.push({ digest, layers: [...blobs.values()].map(layerOf) });
      queue.end();
    },
    (error: unknown) => queue.end(forPeople(error)),
  );
  yield* queue;
}

/** A blob on its way up, in the words of one on its way down. */
function layerOf({ digest, done, total, outcome }: PushProgress) {
  const there = outcome === 'pushed' ? LayerState.READY : LayerState.EXISTS;
  const state = outcome === undefined ? LayerState.DOWNLOADING : there;
  return { digest, state, done: BigInt(done), total: BigInt(total) };
}

async function* verify(
  images: Images,
  references: string[],
  checkOnly: boolean,
  signal: AbortSignal,
): AsyncGenerator<VerifyMessage> {
  const all = references.length > 0 ? references : images.list().map((image) => image.id);
  const ids = new Set(all.map((reference) => idOf(images, reference)));
  const queue = asyncQueue<VerifyMessage>();
  const run = async () => {
    for (const id of ids)
      await images.verify(id, { checkOnly, onChecked: (each) => queue.push(checkedOf(each)) }, signal);
  };
  run().then(
    () => queue.end(),
    (error: unknown) => queue.end(error),
  );
  yield* queue;
}

function idOf(images: Images, reference: string): string {
  const image = images.find(reference);
  if (image !== undefined) return image.id;
  throw new SkiffError('NOT_FOUND', `Cannot verify "${reference}": there is no such image here`);
}

function checkedOf({ what, finding, checked, total }: Checked): VerifyMessage {
  const problem = [finding?.problem, finding?.error]
    .filter((part) => part !== undefined)
    .join('; not mended: ');
  const common = { digest: what, checked: BigInt(checked), total: BigInt(total) };
  return { ...common, problem, damaged: finding !== undefined, mended: finding?.mended === true };
}
