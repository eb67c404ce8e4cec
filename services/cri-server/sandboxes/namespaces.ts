/** Makes and releases the namespaces of a sandbox: by system call on this thread, each pinned by a bind mount. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { getLink, setLink } from '#foundation/linux/links.ts';
import {
  currentNamespace,
  inNamespaces,
  inNewNamespaces,
  isPinned,
  pinNamespace,
  setHostname,
  type ThreadNamespace,
  unpinNamespace,
} from '#foundation/linux/namespaces.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';
import type { SandboxNamespaces } from '../ports.ts';
import type { SandboxPaths } from './paths.ts';
import { writeSysctls } from './sysctls.ts';
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
export function makeNamespaces(paths: SandboxPaths, request: NamespaceRequest): SandboxNamespaces {
  const kinds = kindsOf(request.plan);
  mkdirSync(paths.namespaces, { recursive: true, mode: 0o711 });
  if (kinds.length === 0) return {};
  return inNewNamespaces(kinds, () => {
    const pinned = pinAll(kinds, paths, currentNamespace);
    setUp(request);
    return pinned;
  });
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
    setLink(socket, getLink(socket, 'lo').index, { up: true });
  }
  writeSysctls(sysctls);
}

/** Lets all namespaces of a sandbox go; those that are gone already are fine. */
export function releaseNamespaces(paths: SandboxPaths): void {
  for (const kind of ['net', 'ipc', 'uts', 'pid', 'user']) {
    const pin = join(paths.namespaces, kind);
    if (isPinned(pin)) unpinNamespace(pin);
  }
  rmSync(paths.namespaces, { recursive: true, force: true });
}

/** Whether every namespace of a sandbox is still there; none is after a reboot. */
export function namespacesAlive(namespaces: SandboxNamespaces): boolean {
  return Object.values(namespaces).every((pin) => isPinned(pin));
}

/** Runs `inside` in the network namespace of a sandbox, synchronously. */
export function inSandboxNetwork<T>(namespaces: SandboxNamespaces, inside: () => T): T {
  const { network } = namespaces;
  return network === undefined ? inside() : inNamespaces({ net: network }, inside);
}
