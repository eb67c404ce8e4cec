/**
 * Cases that a runtime class cannot show, each with the reason that the kubelet must tell in an event of the pod. One
 * that is listed counts as wanted only if it was refused in these words; one that runs all the same is a failure.
 */
import type { PodEvent } from './event-log.ts';
import type { Verdict } from './runner.ts';

/** A pod that needs the host cannot have a kernel of its own. */
const needsHost = (what: string) => new RegExp(`cannot be a VM .*${what}.*runtimeClassName: plain`, 's');

/** By runtime class, then by the case's name. */
export const refusals: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  vm: {
    'namespace-network-host': needsHost("the host's network"),
    'namespace-pid-ipc-host': needsHost("the host's (PID|IPC) namespace"),
    'namespace-user': /handler "vm" does not support user namespaces/,
    privileged: needsHost('it is privileged'),
    'volume-propagation': needsHost('it is privileged'),
  },
};

/** Cases that run, and where one thing is seen to be otherwise: how the judge must find it, by class and name. */
export const differences: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  // The volume is a tmpfs of the host, which the guest sees by virtiofs.
  vm: { 'volume-downward': /"none \/info virtiofs ro,/ },
};

/** Judges a case anew where its runtime class cannot show it. */
export function withRefusal(
  verdict: Verdict,
  runtimeClass: string,
  events: readonly PodEvent[],
): Verdict & { refused?: string } {
  const { podCase, failure, missing } = verdict;
  const otherwise = differences[runtimeClass]?.[podCase.name];
  if (failure !== undefined && otherwise?.test(failure.replaceAll('\\"', '"')))
    return { ...verdict, failure: undefined };
  const wanted = refusals[runtimeClass]?.[podCase.name];
  if (wanted === undefined || missing.length > 0) return verdict;
  const { name, namespace } = podCase;
  const own = events.filter(
    (each) => each.namespace === namespace && each.name.startsWith(podCase.pod ?? name),
  );
  const said = own.find(({ message }) => wanted.test(message));
  if (said !== undefined && failure !== undefined)
    return { ...verdict, failure: undefined, refused: said.message };
  const why = failure ?? `it ran, but ${runtimeClass} is listed as unable to (refusals.ts)`;
  return { ...verdict, failure: `not refused in the words ${wanted}: ${why}` };
}
