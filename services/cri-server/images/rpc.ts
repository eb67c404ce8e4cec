/** The CRI's ImageService over the image store. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { AuthConfig, ImageSchema, ImageService, ImageSpec } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { nowNanos } from '#foundation/base/time.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import type { Images } from './index.ts';
import type { AuthRequest } from './registry/types.ts';
import type { ImageRecord } from './store/model.ts';

/** What the handlers need of the image store. */
export type ImageServiceDeps = Pick<Images, 'list' | 'inspect' | 'pull' | 'remove' | 'usage' | 'rootsUsage'>;

/** Images in one message of StreamImages: far below the kubelet's 16 MiB. */
const batchSize = 1000;

/** Makes the handlers. */
export function imageHandlers(images: ImageServiceDeps): Handlers<typeof ImageService> {
  const list = (filter: ImageSpec | undefined) => matching(images, filter).map(toCriImage);
  return {
    listImages: async ({ filter }) => ({ images: list(filter?.image) }),
    streamImages: async function* ({ filter }) {
      const all = list(filter?.image);
      for (let at = 0; at < all.length; at += batchSize) yield { images: all.slice(at, at + batchSize) };
    },
    imageStatus: async ({ image, verbose }) => {
      const found = images.inspect(nameOf(image, 'tell the status of'));
      // An absent image is no error: the kubelet asks this way whether it must pull.
      if (found === undefined) return {};
      const info: Record<string, string> = verbose ? { info: JSON.stringify(describe(found)) } : {};
      return { image: toCriImage(found), info };
    },
    pullImage: async ({ image, auth, sandboxConfig }, { signal }) => {
      const reference = nameOf(image, 'pull');
      // A runtime handler changes nothing: all of them take the same layers.
      const pulled = await images.pull(
        {
          reference,
          namespace: sandboxConfig?.metadata?.namespace,
          ...(auth === undefined ? {} : { auth: toAuth(auth) }),
        },
        signal,
      );
      return { imageRef: pulled.id };
    },
    removeImage: async ({ image }) => {
      await images.remove(nameOf(image, 'remove'));
      return {};
    },
    imageFsInfo: async () => {
      const { path, ...usage } = images.usage();
      const roots = await images.rootsUsage();
      // One file system: a kubelet that compares the two must find the same place.
      return { imageFilesystems: [usageOf(path, usage)], containerFilesystems: [usageOf(path, roots)] };
    },
  };
}

function usageOf(path: string, { bytes, inodes }: { bytes: number; inodes: number }) {
  return {
    timestamp: nowNanos(),
    fsId: { mountpoint: path },
    usedBytes: { value: BigInt(bytes) },
    inodesUsed: { value: BigInt(inodes) },
  };
}

/** The kubelet filters by exactly one image, as ImageStatus looks it up; an empty filter lists all. */
function matching(images: ImageServiceDeps, filter: ImageSpec | undefined): ImageRecord[] {
  if (filter === undefined || filter.image === '') return images.list();
  const found = images.inspect(filter.image);
  return found === undefined ? [] : [found];
}

function nameOf(image: ImageSpec | undefined, what: string): string {
  if (image === undefined || image.image === '')
    throw new SkiffError('INVALID_ARGUMENT', `Cannot ${what} an image: the request names none`);
  return image.image;
}

function toCriImage(image: ImageRecord): MessageInitShape<typeof ImageSchema> {
  return {
    id: image.id,
    repoTags: image.tags,
    repoDigests: image.digests,
    size: BigInt(image.size),
    pinned: image.pinned,
    spec: { image: image.id },
    ...userOf(image.config.User ?? ''),
  };
}

/** The part before a colon is a user id if it is a number, else a name; without either it is root. */
function userOf(user: string): { uid?: { value: bigint }; username?: string } {
  const [name = ''] = user.split(':');
  if (/^[0-9]+$/.test(name)) return { uid: { value: BigInt(name) } };
  return name === '' ? {} : { username: name };
}

function toAuth(auth: AuthConfig): AuthRequest {
  const { username, password, serverAddress, identityToken, registryToken } = auth;
  return { username, password, auth: auth.auth, serverAddress, identityToken, registryToken };
}

/** What `crictl inspecti` shows; the field names are containerd's. */
function describe(image: ImageRecord): object {
  return {
    chainID: image.layers.at(-1)?.chainId,
    imageSpec: {
      created: image.created,
      architecture: image.architecture,
      os: image.os,
      config: image.config,
      rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => layer.diffId) },
    },
    manifest: image.manifest,
    layers: image.layers.map((layer) => layer.descriptor),
  };
}
