/** Unix sockets that appear in one step, and that are nobody else's when they go. */
import { chmodSync, renameSync, rmSync } from 'node:fs';

/**
 * Listens on a name of its own and then takes `path`, in place of a socket that a dead process left. At its end a server
 * removes the name that it listened on, which by then may have been `path` of a later one.
 */
export async function listenAt(path: string, listen: (path: string) => Promise<void>): Promise<void> {
  const own = `${path}.${process.pid}`;
  rmSync(own, { force: true });
  await listen(own);
  chmodSync(own, 0o600);
  renameSync(own, path);
}
