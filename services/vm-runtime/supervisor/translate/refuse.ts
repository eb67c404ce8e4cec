/** What a container in a VM cannot have. Said clearly and before anything is made. */
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** @throws SkiffError for the first thing that the VM cannot give. */
export function refuse(spec: RuntimeSpec): void {
  refuseHostNamespaces(spec);
  const { hooks, linux } = spec;
  if ((hooks?.createContainer?.length ?? 0) > 0)
    throw cannot(
      'createContainer hooks',
      "the container's namespaces are in the VM, where no program of the host runs",
    );
  if (linux.seccomp?.listenerPath !== undefined && linux.seccomp.listenerPath !== '')
    throw cannot('a seccomp listener', 'notifications of system calls do not leave the VM');
  if ((linux.resources?.hugepageLimits ?? []).some(({ limit }) => limit > 0))
    throw cannot('huge pages', 'the VM has none');
  for (const { type, path } of linux.namespaces)
    if (type === 'user' && path !== undefined && path !== '')
      throw cannot(`the user namespace ${path}`, "it is the host's");
}

function refuseHostNamespaces({ linux }: RuntimeSpec): void {
  const named = new Map(linux.namespaces.map(({ type, path }) => [type, path ?? '']));
  const kinds = { network: 'network', pid: 'PID', ipc: 'IPC' } as const;
  for (const [type, name] of Object.entries(kinds))
    if (
      !named.has(type as keyof typeof kinds) ||
      /^\/proc\/(1|self)\/ns\//.test(named.get(type as never) ?? '')
    )
      throw cannot(`the host's ${name} namespace`, 'it has a kernel of its own');
}

/** @param what the thing asked for. @param why the reason a VM has not got it. */
export function cannot(what: string, why: string): SkiffError {
  return new SkiffError(
    'FAILED_PRECONDITION',
    `a container in a VM cannot have ${what}: ${why}; run it with the plain runtime (runtimeClassName: plain)`,
  );
}
