/**
 * Id-mapped bind mounts (mount_setattr(2), MOUNT_ATTR_IDMAP; Linux 5.12): a tree shown with other owners. An owner
 * with id N on disk is seen as the host id that the user namespace maps N to.
 */
import { closeSync, openSync } from 'node:fs';
import { endianness } from 'node:os';
import { check, declare } from './libc.ts';

const syscallOpenTree = declare('long syscall(long number, long directory, const char *path, long flags)');
const syscallMountSetattr = declare(
  'long syscall(long number, long fd, const char *path, long flags, void *attributes, long size)',
);
const syscallMoveMount = declare(
  'long syscall(long number, long from, const char *fromPath, long to, const char *toPath, long flags)',
);

/** System calls newer than 5.0 have one number on every architecture. */
const SYS = { open_tree: 428, move_mount: 429, mount_setattr: 442 };
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOUNT_ATTR_RDONLY = 1n;
const MOUNT_ATTR_IDMAP = 0x100000n;

/** A bind mount with mapped owners. */
export interface IdMappedMount {
  /** An existing directory, or file. */
  source: string;
  /** One of the same kind. */
  target: string;
  /** A pinned user namespace, or `/proc/PID/ns/user`; its mappings count. */
  userNamespace: string;
  readOnly?: boolean;
  /** With all that is mounted below `source`, whose owners stay as they are. */
  recursive?: boolean;
}

/**
 * Binds `source` on `target` with the owners mapped.
 *
 * @throws SkiffError with the errno: INVALID_ARGUMENT (EINVAL) if the file system or the kernel cannot map ids, or
 *   the source is mapped already.
 */
export function bindIdMapped(request: IdMappedMount): void {
  const { source, target, userNamespace, recursive } = request;
  const what = `Cannot bind "${source}" on "${target}" with the owners of ${userNamespace}`;
  const users = openSync(userNamespace, 'r');
  try {
    const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive === true ? AT_RECURSIVE : 0);
    const tree = check(syscallOpenTree(SYS.open_tree, AT_FDCWD, source, flags), what);
    try {
      const attributes = mountAttributes(request, users);
      check(
        syscallMountSetattr(SYS.mount_setattr, tree, '', AT_EMPTY_PATH, attributes, attributes.length),
        what,
      );
      const moved = syscallMoveMount(SYS.move_mount, tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
      check(moved, what);
    } finally {
      closeSync(tree);
    }
  } finally {
    closeSync(users);
  }
}

/** `struct mount_attr`: attr_set, attr_clr, propagation, userns_fd; 64 bits each. */
function mountAttributes({ readOnly }: IdMappedMount, userNamespaceFd: number): Uint8Array {
  const set = MOUNT_ATTR_IDMAP | (readOnly === true ? MOUNT_ATTR_RDONLY : 0n);
  const fields = [set, 0n, 0n, BigInt(userNamespaceFd)];
  const memory = Buffer.alloc(8 * fields.length);
  for (const [index, field] of fields.entries())
    if (endianness() === 'LE') memory.writeBigUInt64LE(field, 8 * index);
    else memory.writeBigUInt64BE(field, 8 * index);
  return memory;
}
