/**
 * The network of a pod VM: each interface that CNI made in the pod's network namespace is carried into the guest by a
 * tap beside it and two tc filters that send every frame from one to the other. The interface keeps its name, addresses
 * and MAC, which the guest has as well; CNI is undisturbed.
 *
 *     guest eth0 <-> virtio-net <-> tap  <- tc redirect ->  eth0 of the netns <-> veth, bridge, ...
 */
import type { AgentInterface, AgentRoute } from '../agent-client/types.ts';

/** One carried interface. */
export interface CarriedNic {
  /** The interface's name, in the namespace and in the guest. */
  name: string;
  mac: string;
  mtu: number;
  /** The tap's name in the namespace. */
  tap: string;
  /** The open tap; close it (`CarriedNetwork.closeTaps`) once the hypervisor has its copy. */
  tapFd: number;
}

/** A namespace whose interfaces are carried. */
export interface CarriedNetwork {
  /** Path of the network namespace. */
  readonly netns: string;
  /** In the namespace's order; none for a pod without interfaces but loopback. */
  readonly nics: readonly CarriedNic[];
  /** What the guest is told (`AgentClient.configure`): addresses, routes, MTU of the namespace, IPv4 and IPv6. */
  readonly guest: { interfaces: AgentInterface[]; routes: AgentRoute[] };
  /** Closes our copies of the taps. A tap goes when its last descriptor is closed: with the hypervisor. */
  closeTaps(): void;
}
