/**
 * Gives a volume to the pod's fsGroup (core/v1 PodSecurityContext.fsGroup): every file belongs to the group,
 * may be read (and written, unless the volume is read-only) by it, and directories hand the group on (setgid).
 */
import { chmodSync, lchownSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Whom a volume is for. */
export interface Ownership {
  /** The pod's fsGroup. */
  group: number;
  /** Whether the pod may only read it. */
  readOnly: boolean;
  /** `OnRootMismatch` leaves a volume alone whose root is right already; `Always` walks it. */
  policy?: string;
}

const setgid = 0o2000;

/**
 * Applies `ownership` to everything at and below `root`; symbolic links are owned, never followed.
 *
 * @throws the errors of lchown(2) and chmod(2), as Node has them.
 */
export function setOwnership(root: string, ownership: Ownership): void {
  if (ownership.policy === 'OnRootMismatch' && matches(root, ownership)) return;
  walk(root, ownership);
}

function walk(path: string, ownership: Ownership): void {
  const status = lstatSync(path);
  lchownSync(path, status.uid, ownership.group);
  if (status.isSymbolicLink()) return;
  if (status.isDirectory()) for (const name of readdirSync(path)) walk(join(path, name), ownership);
  // After the children, so that a right root says that the whole tree is done.
  chmodSync(path, (status.mode & 0o7777) | bits(status.isDirectory(), ownership.readOnly));
}

function bits(directory: boolean, readOnly: boolean): number {
  const access = readOnly ? 0o440 : 0o660;
  return directory ? access | setgid | 0o110 : access;
}

function matches(root: string, ownership: Ownership): boolean {
  const status = lstatSync(root);
  const wanted = bits(true, ownership.readOnly);
  return status.gid === ownership.group && (status.mode & wanted) === wanted;
}
