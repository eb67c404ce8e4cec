/** The Node object: labels, capacity, conditions, addresses, and what runs on it. */
import type { Node, NodeStatus } from '#contracts/kubernetes/types.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import type { Pressure, RuntimeHealth } from '../ports.ts';
import { type NodeResources, toQuantities } from './capacity.ts';
import { type NodeCondition, nodeConditions } from './conditions.ts';
import type { Machine } from './machine.ts';

/** Skiff's kubelet serves this minor version of Kubernetes. */
export const kubeletVersion = 'v1.36.2-skiff';

/** An image for the status. */
export interface NodeImage {
  names: string[];
  sizeBytes: number;
}

/** Everything a Node object is made from. */
export interface NodeFacts {
  name: string;
  hostname: string;
  addresses: readonly string[];
  machine: Machine;
  configuration: KubeletConfiguration;
  capacity: NodeResources;
  allocatable: NodeResources;
  pressure: Pressure;
  health: RuntimeHealth;
  images: readonly NodeImage[];
  volumesInUse: readonly string[];
  /** `--node-labels`. */
  labels: Readonly<Record<string, string>>;
  /** Why the node is not ready beyond what the runtime says: shutting down. */
  extraErrors: readonly string[];
  before: readonly NodeCondition[];
  /** RFC 3339, seconds. */
  now: string;
}

/** Makes the Node object. */
export function nodeObject(facts: NodeFacts): Node {
  const { name, hostname, machine, configuration, labels } = facts;
  const { architecture } = machine;
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: {
        'beta.kubernetes.io/arch': architecture,
        'beta.kubernetes.io/os': 'linux',
        'kubernetes.io/arch': architecture,
        'kubernetes.io/hostname': hostname,
        'kubernetes.io/os': 'linux',
        ...labels,
      },
      annotations: configuration.enableControllerAttachDetach
        ? { 'volumes.kubernetes.io/controller-managed-attach-detach': 'true' }
        : {},
    },
    spec: {
      providerID: configuration.providerID,
      podCIDR: configuration.podCIDR,
      taints: configuration.registerWithTaints?.map(({ key, value, effect }) => ({ key, value, effect })),
    },
    status: nodeStatus(facts),
  };
}

function nodeStatus(facts: NodeFacts): NodeStatus {
  const { machine, configuration, health, hostname } = facts;
  const features = health.runtimeFeatures();
  const errors = [...health.runtimeErrors(), ...health.networkErrors(), ...facts.extraErrors];
  return {
    capacity: toQuantities(facts.capacity),
    allocatable: toQuantities(facts.allocatable),
    conditions: nodeConditions({ pressure: facts.pressure, errors }, facts.before, facts.now),
    addresses: [
      ...facts.addresses.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: hostname },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: configuration.enableServer ? configuration.port : 0 } },
    nodeInfo: {
      machineID: machine.machineId,
      systemUUID: machine.systemUuid,
      bootID: machine.bootId,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: health.runtimeVersion() ?? '',
      kubeletVersion,
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: machine.architecture,
      // The API refuses a capacity of 0.
      ...(machine.swap > 0 && { swap: { capacity: machine.swap } }),
    },
    images: topImages(facts.images, configuration.nodeStatusMaxImages),
    // Also when it is empty: only so the last one leaves what the API has.
    volumesInUse: [...facts.volumesInUse].sort(),
    runtimeHandlers: features.handlers.map(({ name, recursiveReadOnlyMounts, userNamespaces }) => ({
      name,
      features: { recursiveReadOnlyMounts, userNamespaces },
    })),
    features: { supplementalGroupsPolicy: features.supplementalGroupsPolicy },
  };
}

/** The largest images with at most five names each; -1 for all. */
function topImages(images: readonly NodeImage[], max: number): NodeImage[] {
  const sorted = [...images].sort((a, b) => b.sizeBytes - a.sizeBytes);
  const kept = max === -1 ? sorted : sorted.slice(0, max);
  return kept.map(({ names, sizeBytes }) => ({ names: names.slice(0, 5), sizeBytes }));
}
