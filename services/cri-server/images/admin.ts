/** Handlers of the admin service: images with progress, names, builds and cleaning, for the command line. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type BuildDebianRequest,
  type BuildProgressSchema,
  type Images as ImagesService,
  LayerState,
  type PullProgressSchema,
  PullState,
} from '#contracts/admin/admin_pb.ts';
import { asyncQueue } from '#foundation/base/async-queue.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import { archiveHandlers } from './admin-archives.ts';
import { forPeople } from './failures.ts';
import type { DebianBuild, Images } from './index.ts';
import type { PullProgress } from './progress.ts';
import type { ImageRecord } from './store/model.ts';

type PullMessage = MessageInitShape<typeof PullProgressSchema>;
type BuildMessage = MessageInitShape<typeof BuildProgressSchema>;

/** What can be done with an image store beyond the CRI. */
export function adminHandlers(images: Images): Handlers<typeof ImagesService> {
  return {
    pull: ({ image, credentials }, { signal }) => {
      const auth = credentials && { username: credentials.username, password: credentials.password };
      return pullWithProgress(images, image, auth, signal);
    },
    watchPulls: (_request, { signal }) => watchPulls(images, signal),
    tag: async ({ source, target }) => ({ imageId: images.tag(source, target).id }),
    untag: async ({ name, force }) => images.untag(name, { force }),
    buildDebian: (request, { signal }) => build(images, debianBuild(request), signal),
    prune: async ({ all }) => {
      const pruned = await images.prune({ all });
      return { deleted: pruned.images, reclaimedBytes: BigInt(pruned.bytes) };
    },
    ...archiveHandlers(images),
    inspect: async ({ image }) => ({ json: JSON.stringify(found(images, image, 'inspect')) }),
    referrers: async ({ image, credentials, artifactType }, { signal }) => {
      const auth = credentials && { username: credentials.username, password: credentials.password };
      const request = {
        reference: image,
        ...(auth && { auth }),
        ...(artifactType !== '' && { artifactType }),
      };
      const found = await images.referrers(request, signal);
      return { referrers: found.map((each) => ({ ...each, size: BigInt(each.size) })) };
    },
    pin: async ({ image, pinned }) => {
      images.pin(found(images, image, pinned ? 'pin' : 'unpin').id, pinned);
      return {};
    },
  };
}

function found(images: Images, reference: string, what: string): ImageRecord {
  const image = images.inspect(reference);
  if (image !== undefined) return image;
  throw new SkiffError('NOT_FOUND', `Cannot ${what} "${reference}": there is no such image here`);
}

/** Passes on what the board tells of one pull, and then how it ended. */
async function* pullWithProgress(
  images: Images,
  image: string,
  auth: { username: string; password: string } | undefined,
  signal: AbortSignal,
): AsyncGenerator<PullMessage> {
  const queue = asyncQueue<PullMessage>();
  let name = image;
  const stop = images.board.watch((progress) => {
    // The outcome is told below, by the pull that was asked for.
    if (progress.name !== image || progress.state === 'failed') return;
    name = progress.reference;
    queue.push(messageOfPull(progress));
  });
  images.pull({ reference: image, ...(auth && { auth }) }, signal).then(
    ({ id }) => {
      queue.push({ image: name, state: PullState.DONE, imageId: id });
      queue.end();
    },
    (error: unknown) => queue.end(forPeople(error)),
  );
  try {
    yield* queue;
  } finally {
    stop();
  }
}

async function* watchPulls(images: Images, signal: AbortSignal): AsyncGenerator<PullMessage> {
  const queue = asyncQueue<PullMessage>();
  const stop = images.board.watch((progress) => queue.push(messageOfPull(progress)));
  signal.addEventListener('abort', () => queue.end(), { once: true });
  for (const progress of images.board.current()) queue.push(messageOfPull(progress));
  try {
    yield* queue;
  } finally {
    stop();
  }
}

const pullStates = {
  resolving: PullState.RESOLVING,
  pulling: PullState.PULLING,
  done: PullState.DONE,
  failed: PullState.FAILED,
} as const;

const layerStates = {
  waiting: LayerState.WAITING,
  downloading: LayerState.DOWNLOADING,
  unpacking: LayerState.UNPACKING,
  done: LayerState.READY,
  exists: LayerState.EXISTS,
} as const;

function messageOfPull(progress: PullProgress): PullMessage {
  return {
    image: progress.reference,
    state: pullStates[progress.state],
    layers: progress.layers.map(({ digest, state, done, total }) => ({
      digest,
      state: layerStates[state],
      done: BigInt(done),
      total: BigInt(total),
    })),
    error: progress.error ?? '',
    imageId: progress.imageId ?? '',
  };
}

/** An empty field of the request is one that was left out. */
function debianBuild(request: BuildDebianRequest): DebianBuild {
  const { name, packages, suite, mirror, full, entrypoint, cmd, env, user, workingDir, labels } = request;
  return {
    name,
    packages,
    ...(suite !== '' && { suite }),
    ...(mirror !== '' && { mirror }),
    variant: full ? 'full' : 'minimal',
    config: {
      ...(entrypoint.length > 0 && { Entrypoint: entrypoint }),
      ...(cmd.length > 0 && { Cmd: cmd }),
      ...(env.length > 0 && { Env: env }),
      ...(user !== '' && { User: user }),
      ...(workingDir !== '' && { WorkingDir: workingDir }),
      ...(Object.keys(labels).length > 0 && { Labels: labels }),
    },
  };
}

async function* build(images: Images, what: DebianBuild, signal: AbortSignal): AsyncGenerator<BuildMessage> {
  const queue = asyncQueue<BuildMessage>();
  images.buildDebian({ ...what, onLine: (line) => queue.push({ line }) }, signal).then(
    ({ id }) => {
      queue.push({ imageId: id });
      queue.end();
    },
    (error: unknown) => {
      queue.push({ line: messageOf(error) });
      queue.end(error);
    },
  );
  yield* queue;
}
