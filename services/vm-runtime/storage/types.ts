/**
 * Storage of pod VMs: one directory of the host that the guest sees by virtiofs, to which container roots and volumes
 * are added while it runs (share.ts), and file-system images that are added as disks (image.ts, `Vm.addDisk`).
 */

/** The virtiofs tag of the share, and where the factory mounts it in the guest. */
export const shareTag = 'skiff';
export const guestShareDirectory = '/run/share';

/** What a share is made of. */
export interface ShareRequest {
  /** Directory of the share's state: sockets and the parent directory; made, mode 0700. */
  directory: string;
  /** A cgroup of the host that exists, which the file server joins first. */
  cgroup?: string;
}

/** One directory to show in the guest. */
export interface ShareEntry {
  /** A single name: it appears as `/run/share/NAME` in the guest. */
  name: string;
  /** A directory or file of the host. */
  source: string;
  /** Refuses writes; `recursive` also to what is mounted below. */
  readOnly?: boolean | 'recursive';
  /** With everything that is mounted below (rbind); true unless told. */
  recursive?: boolean;
  /** Shows what is mounted in the source later, where that tells of it (shared, slave). */
  follows?: boolean;
}

/** A running share. */
export interface Share {
  readonly tag: string;
  /** The parent on the host. Mount things below it (overlay roots too): the guest sees them at once. */
  readonly directory: string;
  /** The file server's process. */
  readonly pid: number;
  /** Resolves, never rejects, when the file server has ended: guest I/O hangs from then on, so the pod must end. */
  readonly ended: Promise<{ code: number | undefined; said: string }>;
  /** Makes the entry and binds `source` on it. @returns its path in the guest. @throws ALREADY_EXISTS, NOT_FOUND. */
  add(entry: ShareEntry): string;
  /**
   * Takes an entry away. Busy ones (the guest caches inodes) are detached and go when the guest forgets them. One that
   * is not there is success.
   */
  remove(name: string): void;
  list(): string[];
  /** Ends the file server, unmounts everything, removes the directory. Idempotent. */
  stop(): Promise<void>;
  /** Stops looking after it without ending it: somebody else will `attachShare`. */
  release(): void;
}

/** A read-only file-system image (erofs) to build of a directory. */
export interface ImageRequest {
  source: string;
  /** The image's path; written beside it first, then renamed. */
  target: string;
}
