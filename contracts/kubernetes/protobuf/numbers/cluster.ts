/** Nodes, namespaces, configuration, services, events and small kinds. See `../table.ts` for the notation. */
export const cluster: Readonly<Record<string, string>> = {
  Namespace: 'metadata spec status',
  NamespaceSpec: 'finalizers',
  NamespaceStatus: 'phase conditions',
  NamespaceCondition: 'type status 4:lastTransitionTime reason message',
  ConfigMap: 'metadata data binaryData *immutable',
  Secret: 'metadata data type stringData *immutable',
  ServiceAccount: 'metadata secrets imagePullSecrets *automountServiceAccountToken',

  Node: 'metadata spec status',
  NodeSpec: 'podCIDR externalID providerID unschedulable taints configSource podCIDRs',
  NodeStatus: `capacity allocatable phase conditions addresses daemonEndpoints nodeInfo images volumesInUse
    volumesAttached config runtimeHandlers features declaredFeatures`,
  Taint: 'key value effect timeAdded',
  NodeCondition: 'type status lastHeartbeatTime lastTransitionTime reason message',
  NodeAddress: 'type address',
  NodeDaemonEndpoints: 'kubeletEndpoint',
  DaemonEndpoint: 'Port',
  NodeSystemInfo: `machineID systemUUID bootID kernelVersion osImage containerRuntimeVersion kubeletVersion
    kubeProxyVersion operatingSystem architecture swap`,
  NodeSwapStatus: '*capacity',
  ContainerImage: 'names sizeBytes',
  AttachedVolume: 'name devicePath',
  NodeConfigSource: '2:configMap',
  NodeConfigStatus: 'assigned active lastKnownGood error',
  ConfigMapNodeConfigSource: 'namespace name uid resourceVersion kubeletConfigKey',
  NodeRuntimeHandler: 'name features',
  NodeRuntimeHandlerFeatures: '*recursiveReadOnlyMounts *userNamespaces',
  NodeFeatures: '*supplementalGroupsPolicy',

  Service: 'metadata spec status',
  ServiceSpec: `ports selector clusterIP type externalIPs 7:sessionAffinity loadBalancerIP loadBalancerSourceRanges
    externalName externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses sessionAffinityConfig
    17:*ipFamilyPolicy clusterIPs ipFamilies *allocateLoadBalancerNodePorts *loadBalancerClass
    *internalTrafficPolicy *trafficDistribution`,
  ServicePort: 'name protocol port targetPort nodePort *appProtocol',
  ServiceStatus: 'loadBalancer conditions',
  LoadBalancerStatus: 'ingress',
  LoadBalancerIngress: 'ip hostname *ipMode ports',
  PortStatus: 'port protocol *error',
  SessionAffinityConfig: 'clientIP',
  ClientIPConfig: '*timeoutSeconds',
  EndpointSlice: 'metadata endpoints ports addressType',
  Endpoint: 'addresses conditions *hostname targetRef deprecatedTopology *nodeName *zone hints',
  EndpointConditions: '*ready *serving *terminating',
  EndpointHints: 'forZones forNodes',
  ForZone: 'name',
  ForNode: 'name',
  EndpointPort: '*name *protocol *port *appProtocol',

  Event: `metadata involvedObject reason message source firstTimestamp lastTimestamp count type eventTime series
    action related *reportingComponent *reportingInstance`,
  EventSource: 'component host',
  EventSeries: 'count lastObservedTime',
  EventsEvent: `metadata eventTime series *reportingController *reportingInstance *action *reason *regarding related
    *note *type *deprecatedSource *deprecatedFirstTimestamp *deprecatedLastTimestamp *deprecatedCount`,
  EventsEventSeries: 'count lastObservedTime',

  Lease: 'metadata spec',
  LeaseSpec: `*holderIdentity *leaseDurationSeconds acquireTime renewTime *leaseTransitions *strategy
    *preferredHolder`,
  PriorityClass: 'metadata *value globalDefault description *preemptionPolicy',
  RuntimeClass: 'metadata handler overhead scheduling',
  Overhead: 'podFixed',
  Scheduling: 'nodeSelector tolerations',
};
