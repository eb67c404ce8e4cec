/** A connection to a port of a pod, for port-forward. */
import type { Duplex } from 'node:stream';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { dialFrom } from '#foundation/linux/dial.ts';
import type { Core } from '../deps.ts';

/** Connects to `localhost:port` in a ready sandbox's network namespace. */
export async function dial(
  core: Pick<Core, 'sandboxes' | 'runtimes'>,
  sandboxId: string,
  port: number,
): Promise<Duplex> {
  const sandbox = core.sandboxes.find(sandboxId);
  if (sandbox === undefined) throw new SkiffError('NOT_FOUND', `there is no sandbox "${sandboxId}"`);
  try {
    if (!sandbox.ready) throw new SkiffError('FAILED_PRECONDITION', 'the sandbox is not ready');
    if (!Number.isInteger(port) || port < 1 || port > 65535)
      throw new SkiffError('INVALID_ARGUMENT', 'ports are 1 to 65535');
    const { pods } = core.runtimes.driver(sandbox.runtimeHandler);
    if (pods !== undefined) return await pods.dial(sandbox.id, port);
    const { network } = sandbox.namespaces;
    // A server may listen on one family only; the first refusal is the one to tell of.
    return await dialFrom(network, '127.0.0.1', port).catch((first) =>
      dialFrom(network, '::1', port).catch(() => {
        throw first;
      }),
    );
  } catch (error) {
    throw wrapError(error, `Cannot forward to port ${port} of sandbox "${sandboxId}"`);
  }
}
