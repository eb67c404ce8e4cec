/** Shutdown: ends the VM with all its containers, forgets them, and ends the supervisor. */
import { forget } from './containers/remove.ts';
import type { Core } from './core.ts';
import { endMachine, untilEnded } from './machine.ts';
import { removePod } from './over.ts';

/** Ends the pod. @param graceMs milliseconds that the guest has to end by itself. */
export async function shutdown(core: Core, graceMs: number): Promise<void> {
  core.config.endsWithLast = false;
  await endMachine(core, 'it was shut down', graceMs);
  await untilEnded(core);
  for (const container of [...core.containers.values()])
    await core.locks.run(container.record.id, () => forget(core, container));
  await removePod(core);
}
