/**
 * SELinux: which labels processes and files of containers get. The policy of the machine names the kinds
 * (selinux(8), `contexts/lxc_contexts`); each pod gets a pair of categories of its own (MCS), so that pods with the same
 * kind cannot touch each other's files.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SELinuxOption } from '#contracts/cri/runtime_pb.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';

/** The labels of one container. */
export interface SelinuxLabels {
  /** Of its processes; empty for a privileged container, which keeps the label of the runtime. */
  process: string;
  /** Of its files. */
  mount: string;
}

/** SELinux of a machine that has it. */
export interface Selinux {
  /** A level with a pair of categories that is not among `taken`: `s0:c12,c345`. @throws RESOURCE_EXHAUSTED. */
  freeLevel(taken: ReadonlySet<string>): string;
  /**
   * The labels of a container.
   *
   * @param level its pod's; an option's own level goes before it.
   * @throws SkiffError INVALID_ARGUMENT if the policy knows no such label.
   */
  labels(options: SELinuxOption | undefined, level: string, privileged: boolean): SelinuxLabels;
}

/** Categories that a policy has: c0 to c1023. */
const categories = 1024;

/** What stands in the policy if nothing else does: the names of every policy for containers. */
const usual = { process: 'system_u:system_r:container_t:s0', file: 'system_u:object_r:container_file_t:s0' };

/**
 * Reads the policy's settings.
 *
 * @param root `/`; another one in tests.
 * @returns undefined on a machine without SELinux.
 */
export function openSelinux(root = '/'): Selinux | undefined {
  const kernel = join(root, 'sys/fs/selinux');
  if (!existsSync(join(kernel, 'enforce'))) return undefined;
  const kinds = { ...usual, ...readKinds(root) };
  const check = (context: string) => requireValid(join(kernel, 'context'), context);
  return {
    freeLevel,
    labels(options, level, privileged) {
      const chosen = options?.level || level;
      const process = withParts(kinds.process, options, chosen);
      // Files keep the policy's kind, whatever the process is: its rules are about pairs of these.
      const mount = withParts(kinds.file, undefined, chosen);
      check(process);
      check(mount);
      return { process: privileged ? '' : process, mount };
    },
  };
}

/** Two different categories, the smaller first. Half a million pairs: a random one is free nearly always. */
function freeLevel(taken: ReadonlySet<string>): string {
  for (let attempt = 0; attempt < 10_000; attempt += 1) {
    const [a, b] = [randomCategory(), randomCategory()];
    const level = `s0:c${Math.min(a, b)},c${Math.max(a, b)}`;
    if (a !== b && !taken.has(level)) return level;
  }
  throw new SkiffError('RESOURCE_EXHAUSTED', 'every pair of SELinux categories is taken by a pod');
}

function randomCategory(): number {
  return Math.floor(Math.random() * categories);
}

/** `user:role:type:level`; only the level has further colons. */
function withParts(kind: string, options: SELinuxOption | undefined, level: string): string {
  const [user = '', role = '', type = ''] = kind.split(':');
  return `${options?.user || user}:${options?.role || role}:${options?.type || type}:${level}`;
}

function readKinds(root: string): Partial<typeof usual> {
  const policy = /^\s*SELINUXTYPE\s*=\s*(\S+)/m.exec(textOf(join(root, 'etc/selinux/config')))?.[1];
  const text = textOf(join(root, 'etc/selinux', policy ?? 'targeted', 'contexts/lxc_contexts'));
  const found = (name: string) => new RegExp(`^\\s*${name}\\s*=\\s*"?([^"\\s]+)"?`, 'm').exec(text)?.[1];
  const process = found('process');
  const file = found('file');
  return { ...(process === undefined ? {} : { process }), ...(file === undefined ? {} : { file }) };
}

/** The kernel refuses to be told of a context that its policy does not know: security_check_context(3). */
function requireValid(path: string, context: string): void {
  try {
    writeFileSync(path, context, { flag: 'r+' });
  } catch (error) {
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `the SELinux label "${context}" is not one of this machine's policy (${messageOf(error)}); see seinfo(1)`,
    );
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
