/** From a VM that was started to one that is the pod's: the agent answers, network and share are there. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { nowNanos } from '#foundation/base/time.ts';
import type { AgentClient } from '../agent-client/types.ts';
import { readConsole } from '../hypervisor/qemu/console.ts';
import type { Vm, VmEnd } from '../hypervisor/types.ts';
import type { CarriedNetwork } from '../network/types.ts';
import { guestShareDirectory, shareTag } from '../storage/types.ts';
import type { FactoryDeps } from './deps.ts';

/** Milliseconds until an agent must answer unless told. */
export const agentMs = 20_000;
/** The same for VMs that are made ready ahead: no pod waits for them, and the machine may be busy. */
export const aheadMs = 120_000;

/**
 * Waits for the agent.
 *
 * @throws SkiffError UNAVAILABLE if the VM ends first, DEADLINE_EXCEEDED if the guest says nothing; with the last
 *   lines of its console.
 */
export async function awaitAgent(
  deps: Pick<FactoryDeps, 'connectAgent'>,
  vm: Vm,
  options: { deadlineMs?: number; signal?: AbortSignal; fresh?: boolean } = {},
): Promise<AgentClient> {
  const { deadlineMs = agentMs, signal, fresh = false } = options;
  const stop = new AbortController();
  const cancel = () => stop.abort(signal?.reason);
  signal?.addEventListener('abort', cancel, { once: true });
  const connecting = deps.connectAgent({
    socketPath: vm.agentSocketPath,
    deadlineMs,
    fresh,
    signal: stop.signal,
  });
  const ended = vm.ended.then((end) => {
    throw new SkiffError('UNAVAILABLE', `The VM ${vm.id} ended before its agent answered: ${describe(end)}`);
  });
  try {
    return await Promise.race([connecting, ended]);
  } catch (error) {
    stop.abort();
    connecting.then((late) => late.close()).catch(() => {});
    // The connection breaks a moment before the end of the process is known, which says more.
    await Promise.race([ended, sleep(200, undefined, { ref: false })]);
    const said = readConsole(vm.consolePath, 600).trim();
    throw wrapError(
      error,
      `The guest of the VM ${vm.id} does not answer${said === '' ? '' : `; it said: ${said}`}`,
    );
  } finally {
    ended.catch(() => {});
    signal?.removeEventListener('abort', cancel);
  }
}

/** Gives the guest what is its own alone, its network, and its share. */
export async function introduce(
  agent: AgentClient,
  { network, shared }: { network: CarriedNetwork | undefined; shared: boolean },
): Promise<void> {
  await agent.configure({
    // Clones would give the same numbers, and have the time of their template.
    entropy: randomBytes(64),
    time: nowNanos(),
    machineId: randomBytes(16).toString('hex'),
    ...(network === undefined ? {} : network.guest),
  });
  if (shared)
    await agent.mount({
      source: shareTag,
      target: guestShareDirectory,
      type: 'virtiofs',
      options: ['nodev'],
    });
}

function describe(end: VmEnd): string {
  if (end.kind === 'failed') return `its process ended with ${end.code ?? 'an unknown code'}: ${end.said}`;
  return end.kind === 'panic' ? `its kernel panicked: ${end.console.slice(-500)}` : end.kind;
}
