/**
 * What the parts of the CRI server need of one another. Each part implements its own side and is given the
 * others' when `server.ts` wires them; none imports another's folder.
 */
import type { Duplex, Readable, Writable } from 'node:stream';
import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import type { ImageConfig } from '#contracts/oci/image.ts';

/** An image that is complete on this machine. */
export interface LocalImage {
  /** `sha256:` and the hex digest of its config: the image id. */
  id: string;
  /** Normalised names with tags: `docker.io/library/nginx:latest`. */
  repoTags: string[];
  /** Normalised names with manifest digests: `docker.io/library/nginx@sha256:...`. */
  repoDigests: string[];
  /** Bytes of its compressed layers, manifest and config. */
  size: bigint;
  /** The runtime part of the image's config. */
  config: ImageConfig;
  /** Never garbage-collected. */
  pinned: boolean;
}

/** A container root (or an image volume) to make from an image. */
export interface RootRequest {
  /** The owner's key: a container id, or `<id>/<n>` for its n-th image volume. */
  key: string;
  imageId: string;
  /** True for image volumes: a view without an upper layer. */
  readOnly?: boolean;
  /** For a pod with a user namespace; the same at every request for a key. */
  idMap?: RootIdMap;
  /** The SELinux label of its files; left out on machines without. */
  mountLabel?: string;
  /** A layer's archive that a new root begins with, as `saveChanges` writes it. */
  changes?: string;
}

/** Whose the files of a root are: the image's id N is the host's `uid + N`, so that it is N in the namespace. */
export interface RootIdMap {
  /** The pinned user namespace; it ends with its pod. */
  userNamespace: string;
  /** The host ids of root in the namespace, and how many ids there are. */
  uid: number;
  gid: number;
  uids: number;
  gids: number;
}

/** What containers need of the image store. */
export interface ImageSource {
  /** Finds a local image by id, unique id prefix, digest, tag or short name. */
  find(reference: string): LocalImage | undefined;
  /** Mounts a root; asking again with the same key returns the same. @throws NOT_FOUND: no such image. */
  prepareRoot(request: RootRequest): Promise<{ path: string }>;
  /** Unmounts and deletes a root; an absent one is success. */
  removeRoot(key: string): Promise<void>;
  /** What a root's upper layer takes on disk. */
  rootUsage(key: string): Promise<{ bytes: bigint; inodes: bigint }>;
  /**
   * Writes what was changed in a root as a layer's archive.
   *
   * @returns the paths that were deleted. @throws FAILED_PRECONDITION where roots are copies.
   */
  saveChanges(key: string, archive: string): Promise<{ deleted: string[] }>;
  /** Lays out an archive from anywhere in a new directory, and nothing outside of it. */
  layOut(archive: string, directory: string): Promise<void>;
  /** After a start: remounts the roots of `keep` that a reboot unmounted, removes all others. */
  recoverRoots(keep: ReadonlySet<string>): Promise<void>;
}

/** Paths of pinned namespaces; left out where the pod uses the host's or a container gets its own. */
export interface SandboxNamespaces {
  network?: string;
  ipc?: string;
  uts?: string;
  /** Only when the pod shares its PID namespace. */
  pid?: string;
  user?: string;
}

/** What containers, streaming and statistics see of a sandbox. */
export interface SandboxView {
  id: string;
  config: PodSandboxConfig;
  ready: boolean;
  /** Never empty: the default's name stands here when the request left it out. */
  runtimeHandler: string;
  namespaces: SandboxNamespaces;
  /** Host paths of files to bind into each container. */
  files: { hostname: string; hosts?: string; resolvConf: string; shm: string };
  /** The pod's IP addresses, the primary first; empty for host network. */
  ips: string[];
  /** As in the request: `/kubepods/pod1` or `kubepods-pod1.slice`; empty for none. */
  cgroupParent: string;
  /** The level of its SELinux labels; left out on machines without. */
  selinuxLevel?: string;
  /** Process id of the pause process; undefined without one. */
  pausePid?: number;
  /** Nanoseconds since the epoch. */
  createdAt: bigint;
}

/** What the others need of sandboxes. */
export interface Sandboxes {
  /** Finds by id or unique prefix. */
  find(id: string): SandboxView | undefined;
  list(): SandboxView[];
}

/** What sandboxes need of their containers. */
export interface SandboxContainers {
  /** Ends all containers of a sandbox: SIGKILL at once, waits for their exits. */
  killAll(sandboxId: string, signal: AbortSignal): Promise<void>;
  /** Removes all containers of a sandbox, running or not. */
  removeAll(sandboxId: string, signal: AbortSignal): Promise<void>;
}

/** The streams of one exec or attach session. */
export interface SessionStreams {
  /** What the client sends; ends with its half-close. Left out if not asked for. */
  stdin?: Readable;
  stdout?: Writable;
  /** Never with a terminal. */
  stderr?: Writable;
  /** Terminal sizes as the client sends them, in character cells. */
  resizes: AsyncIterable<{ width: number; height: number }>;
  /** Aborts when the client is gone. */
  signal: AbortSignal;
}

/** What the streaming server needs of containers and sandboxes. */
export interface StreamingRuntime {
  /** Runs a command in a container. @returns its exit code. */
  exec(
    request: { containerId: string; command: string[]; tty: boolean },
    streams: SessionStreams,
  ): Promise<number>;
  /** Joins the streams of a container's own process until it ends or the client leaves. */
  attach(request: { containerId: string; tty: boolean }, streams: SessionStreams): Promise<void>;
  /** Connects to `localhost:port` inside a sandbox's network namespace, IPv4 then IPv6. */
  dial(sandboxId: string, port: number): Promise<Duplex>;
}
