/** hostPath: a path of the machine itself, checked or made as its `type` says (core/v1 HostPathType). */
import { chmodSync, mkdirSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';
import type { VolumePlugin } from './plugin.ts';

/** Each type's test and, for those that make what is missing, how. */
const types: Record<string, { is: (status: Stats) => boolean; noun: string; make?: (path: string) => void }> =
  {
    DirectoryOrCreate: { is: (status) => status.isDirectory(), noun: 'a directory', make: makeDirectory },
    Directory: { is: (status) => status.isDirectory(), noun: 'a directory' },
    FileOrCreate: { is: (status) => status.isFile(), noun: 'a file', make: makeFile },
    File: { is: (status) => status.isFile(), noun: 'a file' },
    Socket: { is: (status) => status.isSocket(), noun: 'a socket' },
    CharDevice: { is: (status) => status.isCharacterDevice(), noun: 'a character device' },
    BlockDevice: { is: (status) => status.isBlockDevice(), noun: 'a block device' },
  };

/** Makes the hostPath plugin; it mounts nothing, the runtime binds the path itself. */
export function hostPathPlugin(): VolumePlugin {
  return {
    name: 'host-path',
    handles: (volume) => volume.hostPath !== undefined,
    async mount({ volume }) {
      const path = volume.hostPath?.path ?? '';
      checkHostPath(path, volume.hostPath?.type ?? '');
      return { hostPath: path, readOnly: false };
    },
    async unmount() {},
  };
}

/**
 * Checks that `path` is what `type` says, making it where the type allows.
 *
 * @throws SkiffError FAILED_PRECONDITION if it is something else or missing; INVALID_ARGUMENT for an unknown type.
 */
export function checkHostPath(path: string, type: string): void {
  if (type === '') return;
  const rule = types[type];
  if (rule === undefined) throw new SkiffError('INVALID_ARGUMENT', `hostPath type "${type}" is not known`);
  let status = statOrNothing(path);
  if (status === undefined && rule.make !== undefined) {
    rule.make(path);
    status = statOrNothing(path);
  }
  if (status === undefined || !rule.is(status))
    throw new SkiffError('FAILED_PRECONDITION', `hostPath type check failed: ${path} is not ${rule.noun}`);
}

function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o755);
}

function makeFile(path: string): void {
  try {
    writeFileSync(path, '', { flag: 'wx' });
    chmodSync(path, 0o644);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

function statOrNothing(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
