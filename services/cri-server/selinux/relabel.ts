/** Gives the files of a volume the label of the containers that use it, when the request asks for it. */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { openRoot } from '#foundation/linux/at.ts';
import { setXattrAt } from '#foundation/linux/xattr.ts';

/** Where a label lies. */
const attribute = 'security.selinux';

/** What belongs to the machine: with other labels its own programs could not be used any more. */
const ofTheMachine = new Set([
  ...['/', '/bin', '/boot', '/dev', '/etc', '/home', '/lib', '/lib64', '/proc', '/root', '/run', '/sbin'],
  ...['/sys', '/tmp', '/usr', '/var', '/var/lib', '/var/log', '/var/run'],
]);

/**
 * Labels a file, or a folder with all below it; symbolic links themselves, not what they lead to.
 *
 * @throws SkiffError INVALID_ARGUMENT for a directory of the machine itself. File systems without labels are success.
 */
export async function relabel(path: string, label: string): Promise<void> {
  if (ofTheMachine.has(path))
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `"${path}" must not be relabelled: it is the machine's own; mount it without selinux_relabel`,
    );
  await labelTree(path, label);
}

async function labelTree(path: string, label: string): Promise<void> {
  if (!setLabel(path, label) || !(await lstat(path)).isDirectory()) return;
  for (const name of await readdir(path)) await labelTree(join(path, name), label);
}

/** Labels one file. @returns false where the file system has no labels: none below it needs to be tried. */
export function setLabel(path: string, label: string): boolean {
  const slash = path.lastIndexOf('/');
  using folder = openRoot(slash === 0 ? '/' : path.slice(0, slash));
  try {
    const name = Buffer.from(path.slice(slash + 1)).toString('latin1');
    setXattrAt(folder.fd, name, attribute, Buffer.from(`${label}\0`));
    return true;
  } catch (error) {
    if (isSkiffError(error) && (error.errno === 'EOPNOTSUPP' || error.errno === 'ENOTSUP')) return false;
    throw error;
  }
}
