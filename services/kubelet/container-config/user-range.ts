/** Which user and group ids of the host may be given to pods with user namespaces of their own. */
import { readFileSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';

/** A range of ids, cut into pieces of one size. */
export interface UserRange {
  first: number;
  /** Ids of one pod: `userNamespaces.idsPerPod`. */
  perPod: number;
  /** How many pods there is room for. */
  pods: number;
}

const alignment = 65_536;

/**
 * The range: that of the user `kubelet` in subuid(5) and subgid(5) if it has one, else all from 65536 up that is needed
 * for the node's pods.
 *
 * @param files for tests.
 * @throws SkiffError FAILED_PRECONDITION for a range that does not fit.
 */
export function userRange(
  { userNamespaces, maxPods }: Pick<KubeletConfiguration, 'userNamespaces' | 'maxPods'>,
  files = { uids: '/etc/subuid', gids: '/etc/subgid' },
): UserRange {
  const perPod = userNamespaces.idsPerPod ?? alignment;
  const uids = ownRange(files.uids);
  const gids = ownRange(files.gids);
  // Ranges stay below 2^31, so that no tool that counts signed stumbles.
  if (uids === undefined && gids === undefined)
    return { first: alignment, perPod, pods: Math.floor((2 ** 31 - alignment) / perPod) };
  const refuse = (why: string) => {
    throw new SkiffError('FAILED_PRECONDITION', `Cannot use the ids of the user "kubelet": ${why}`);
  };
  if (uids?.first !== gids?.first || uids?.count !== gids?.count)
    refuse(`${files.uids} and ${files.gids} must give it the same range`);
  const { first = 0, count = 0 } = uids ?? {};
  if (first < alignment || first % alignment !== 0)
    refuse(`its range begins at ${first}, not at a multiple of 65536`);
  if (count % alignment !== 0 || count < maxPods * perPod)
    refuse(`its ${count} ids are no multiple of 65536, or fewer than maxPods (${maxPods}) times ${perPod}`);
  return { first, perPod, pods: Math.floor(count / perPod) };
}

/** The range of `kubelet` in a file of lines `name:first:count`; undefined if it has none. */
function ownRange(path: string): { first: number; count: number } | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  const line = text.split('\n').find((each) => each.startsWith('kubelet:'));
  const [, first, count] = line?.split(':') ?? [];
  return line === undefined ? undefined : { first: Number(first), count: Number(count) };
}
