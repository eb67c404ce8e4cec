/** The host's packet filter, as far as pods need it: masquerading and published ports. */

/** A port of the host that leads to a pod. */
export interface PublishedPort {
  /** Address of the host; left out for all of them. */
  hostIp?: string;
  hostPort: number;
  protocol: 'tcp' | 'udp' | 'sctp';
  /** The pod's address. */
  podIp: string;
  podPort: number;
}

/** Rules of one root; each kind of packet filter implements it. Repeating a call is success. */
export interface PacketFilter {
  /**
   * Traffic of a pod network that leaves it gets the host's address. One rule serves all pods.
   *
   * @param network `10.88.3.0/24`.
   */
  masquerade(network: string): Promise<void>;
  /**
   * Publishes ports of a pod, on the host's addresses and on 127.0.0.1.
   *
   * @param device the host's interface towards the pod.
   * @throws SkiffError ALREADY_EXISTS if one is another pod's; none is published then.
   */
  publish(ports: readonly PublishedPort[], device: string): Promise<void>;
  unpublish(ports: readonly PublishedPort[]): Promise<void>;
  /** Whether all of these ports are published. */
  isPublished(ports: readonly PublishedPort[]): Promise<boolean>;
  /** Removes every rule of this root. */
  clear(): Promise<void>;
}
