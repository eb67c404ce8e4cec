/**
 * Makes and releases the namespaces of a sandbox: by system call on this thread, each pinned by a bind mount.
 * With a user namespace a child makes them instead (`user-namespace.ts`).
 */
import { join } from 'node:path';
import { loopbackIndex, setLink } from '#foundation/linux/links.ts';
import {
  currentNamespace,
  inNamespaces,
  inNewNamespaces,
  pinNamespace,
  setHostname,
  type ThreadNamespace,
  unpinNamespace,
} from '#foundation/linux/namespaces.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import type { SandboxNamespaces } from '../ports.ts';
import type { SandboxPaths } from './paths.ts';
import { writeSysctls } from './sysctls.ts';
import { withUserNamespace } from './user-namespace.ts';
import type { NamespacePlan } from './validate.ts';

/** What to set up inside. */
export interface NamespaceRequest {
  plan: NamespacePlan;
  hostname: string;
  sysctls: ReadonlyMap<string, string>;
}

/**
 * Makes the namespaces of a plan, sets them up (host name, sysctls, loopback) and pins them.
 *
 * @throws SkiffError; `releaseNamespaces` takes back what was pinned by then.
 */
export async function makeNamespaces(
  spawner: Spawner,
  paths: SandboxPaths,
  request: NamespaceRequest,
): Promise<SandboxNamespaces> {
  const { plan } = request;
  const kinds = kindsOf(plan);
  if (plan.user !== undefined) return makeWithUser(spawner, paths, request, kinds, plan.user);
  if (kinds.length === 0) return {};
  return inNewNamespaces(kinds, () => {
    const pinned = pinAll(kinds, paths, currentNamespace);
    setUp(request);
    return pinned;
  });
}

async function makeWithUser(
  spawner: Spawner,
  paths: SandboxPaths,
  request: NamespaceRequest,
  kinds: readonly ThreadNamespace[],
  mappings: NonNullable<NamespacePlan['user']>,
): Promise<SandboxNamespaces> {
  const user = join(paths.namespaces, 'user');
  const pinned = await withUserNamespace(spawner, kinds, mappings, (pid) => {
    pinNamespace(`/proc/${pid}/ns/user`, user);
    return pinAll(kinds, paths, (kind) => `/proc/${pid}/ns/${kind}`);
  });
  const entered = Object.fromEntries(kinds.map((kind) => [kind, join(paths.namespaces, kind)]));
  inNamespaces(entered, () => setUp(request));
  return { ...pinned, user };
}

/** Which kinds a pod has of its own; the host's network goes with the host's name. */
function kindsOf(plan: NamespacePlan): ThreadNamespace[] {
  const own = { net: !plan.hostNetwork, uts: !plan.hostNetwork, ipc: !plan.hostIpc };
  return (Object.keys(own) as ThreadNamespace[]).filter((kind) => own[kind]);
}

function pinAll(
  kinds: readonly ThreadNamespace[],
  paths: SandboxPaths,
  source: (kind: ThreadNamespace) => string,
): SandboxNamespaces {
  const names = { net: 'network', uts: 'uts', ipc: 'ipc' } as const;
  const pinned: SandboxNamespaces = {};
  for (const kind of kinds) {
    const pin = join(paths.namespaces, kind);
    pinNamespace(source(kind), pin);
    pinned[names[kind]] = pin;
  }
  return pinned;
}

/** Call it inside the new namespaces. */
function setUp({ plan, hostname, sysctls }: NamespaceRequest): void {
  if (!plan.hostNetwork) {
    setHostname(hostname);
    using socket = openNetlink();
    setLink(socket, loopbackIndex, { up: true });
  }
  writeSysctls(sysctls);
}

/** Lets all namespaces of a sandbox go; those that are gone already are fine. The empty files stay. */
export function releaseNamespaces(paths: SandboxPaths): void {
  for (const kind of ['net', 'ipc', 'uts', 'pid', 'user']) unpinNamespace(join(paths.namespaces, kind));
}
