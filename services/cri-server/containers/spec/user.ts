/**
 * Who a container's process is. The request's user name comes before its user id, and that before the image's;
 * groups come from the image's /etc/group (policy Merge) or from the request alone (Strict).
 */

import { type LinuxContainerSecurityContext, SupplementalGroupsPolicy } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { readTextInRoot } from '#foundation/linux/inroot.ts';

/** A process's user. */
export interface ContainerUser {
  uid: number;
  gid: number;
  /** All groups of the process, the primary one among them. */
  groups: number[];
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
}

interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

/**
 * Resolves the user of a container.
 *
 * @param root the container's root on the host.
 * @param imageUser the image's `User`: `name`, `uid`, `name:group`, `uid:gid`, or empty.
 * @throws SkiffError INVALID_ARGUMENT if the user or group is not in the image, or a group was given without
 *   a user.
 */
export function resolveUser(
  root: string,
  context: LinuxContainerSecurityContext | undefined,
  imageUser: string,
): ContainerUser {
  const wanted = wantedUser(context, imageUser);
  const passwd = parsePasswd(readTextInRoot(root, 'etc/passwd') ?? '');
  const groups = parseGroups(readTextInRoot(root, 'etc/group') ?? '');
  const entry = findUser(wanted.user, passwd);
  const uid = entry?.uid ?? idOf(wanted.user);
  if (uid === undefined)
    throw new SkiffError('INVALID_ARGUMENT', `the user "${wanted.user}" is not in the image's /etc/passwd`);
  const gid = wanted.group === undefined ? (entry?.gid ?? 0) : findGroup(wanted.group, groups);
  const supplemental = (context?.supplementalGroups ?? []).map((id) =>
    validId(Number(id), 'supplemental group'),
  );
  const merge = context?.supplementalGroupsPolicy !== SupplementalGroupsPolicy.Strict;
  const member =
    merge && entry !== undefined ? groups.filter((group) => group.members.includes(entry.name)) : [];
  const all = new Set([gid, ...member.map((group) => group.gid), ...supplemental]);
  return { uid, gid, groups: [...all].sort((a, b) => a - b) };
}

function wantedUser(
  context: LinuxContainerSecurityContext | undefined,
  imageUser: string,
): { user: string; group?: string } {
  const given = context?.runAsUsername || context?.runAsUser?.value.toString();
  const group = context?.runAsGroup?.value.toString();
  if (group !== undefined && given === undefined)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `run_as_group ${group} needs run_as_user or run_as_username as well`,
    );
  const [user = '', namedGroup] = (given ?? imageUser).split(':');
  return { user: user === '' ? '0' : user, group: group ?? (namedGroup || undefined) };
}

/** A name is looked for first: `useradd 1000` is legal. */
function findUser(user: string, passwd: readonly PasswdEntry[]): PasswdEntry | undefined {
  return passwd.find((entry) => entry.name === user) ?? passwd.find((entry) => entry.uid === idOf(user));
}

function findGroup(group: string, groups: readonly GroupEntry[]): number {
  const gid = groups.find((entry) => entry.name === group)?.gid ?? idOf(group);
  if (gid !== undefined) return gid;
  throw new SkiffError('INVALID_ARGUMENT', `the group "${group}" is not in the image's /etc/group`);
}

function idOf(text: string): number | undefined {
  return /^-?\d+$/.test(text) ? validId(Number(text), 'user or group') : undefined;
}

function validId(id: number, what: string): number {
  // (uid_t)-1 means "leave it as it is" to setuid(2) and its like.
  if (Number.isInteger(id) && id >= 0 && id < 0xffffffff) return id;
  throw new SkiffError('INVALID_ARGUMENT', `${id} is no ${what} id: 0 to 4294967294`);
}

function parsePasswd(text: string): PasswdEntry[] {
  return fields(text)
    .filter((field) => field.length >= 4 && /^\d+$/.test(field[2] ?? '') && /^\d+$/.test(field[3] ?? ''))
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }));
}

function parseGroups(text: string): GroupEntry[] {
  return fields(text)
    .filter((field) => field.length >= 3 && /^\d+$/.test(field[2] ?? ''))
    .map(([name = '', , gid, members = '']) => ({ name, gid: Number(gid), members: members.split(',') }));
}

function fields(text: string): string[][] {
  return text.split('\n').map((line) => line.trim().split(':'));
}
