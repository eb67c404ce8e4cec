/** Extended attributes: xattr(7). Links are never followed. */
import { check, declare } from './libc.ts';

const fsetxattr = declare('int fsetxattr(int fd, const char *name, void *value, size_t size, int flags)');
const lsetxattr = declare('int lsetxattr(void *path, const char *name, void *value, size_t size, int flags)');
const lgetxattr = declare('long lgetxattr(void *path, const char *name, void *value, size_t size)');
const llistxattr = declare('long llistxattr(void *path, void *names, size_t size)');

/** XATTR_SIZE_MAX and XATTR_LIST_MAX of <linux/limits.h>. */
const maxXattrBytes = 65536;

/** Sets an attribute of an open file. @throws SkiffError with errno EOPNOTSUPP, EPERM, ENOSPC, ERANGE. */
export function setXattr(fd: number, name: string, value: Uint8Array): void {
  check(fsetxattr(fd, name, value, value.length, 0), `Cannot set the attribute "${name}"`);
}

/** The path of a name in an open directory, as a C string; the name is a binary string (see at.ts). */
function pathAt(directory: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${directory}/${name}\0`, 'latin1');
}

/** Sets an attribute of a name in an open directory. */
export function setXattrAt(directory: number, name: string, attribute: string, value: Uint8Array): void {
  check(
    lsetxattr(pathAt(directory, name), attribute, value, value.length, 0),
    `Cannot set the attribute "${attribute}"`,
  );
}

/** Every attribute of a name in an open directory; empty where the file system has none. */
export function listXattrsAt(directory: number, name: string): Map<string, Buffer> {
  const path = pathAt(directory, name);
  const names = Buffer.alloc(maxXattrBytes);
  const length = llistxattr(path, names, names.length);
  const found = new Map<string, Buffer>();
  if (length <= 0) return found;
  const value = Buffer.alloc(maxXattrBytes);
  for (const attribute of names.toString('utf8', 0, length).split('\0')) {
    if (attribute === '') continue;
    const size = lgetxattr(path, attribute, value, value.length);
    if (size >= 0) found.set(attribute, Buffer.from(value.subarray(0, size)));
  }
  return found;
}
