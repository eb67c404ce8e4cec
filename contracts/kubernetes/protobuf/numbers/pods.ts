/** Pods: containers, probes, scheduling, security, status. See `../table.ts` for the notation. */
const container = `name image command args workingDir ports env resources volumeMounts livenessProbe readinessProbe
  lifecycle terminationMessagePath imagePullPolicy securityContext stdin stdinOnce tty envFrom
  terminationMessagePolicy volumeDevices startupProbe resizePolicy *restartPolicy restartPolicyRules`;

export const pods: Readonly<Record<string, string>> = {
  Pod: 'metadata spec status',
  Binding: 'metadata target',
  Eviction: 'metadata deleteOptions',
  PodSpec: `volumes containers restartPolicy *terminationGracePeriodSeconds *activeDeadlineSeconds dnsPolicy
    nodeSelector serviceAccountName serviceAccount nodeName hostNetwork hostPID hostIPC securityContext
    imagePullSecrets hostname subdomain affinity schedulerName initContainers *automountServiceAccountToken
    tolerations hostAliases priorityClassName *priority dnsConfig *shareProcessNamespace readinessGates
    *runtimeClassName *enableServiceLinks *preemptionPolicy overhead topologySpreadConstraints ephemeralContainers
    *setHostnameAsFQDN os *hostUsers schedulingGates resourceClaims resources *hostnameOverride 43:schedulingGroup`,
  PodStatus: `phase conditions message reason hostIP podIP startTime containerStatuses qosClass
    initContainerStatuses nominatedNodeName podIPs ephemeralContainerStatuses resize resourceClaimStatuses hostIPs
    observedGeneration extendedResourceClaimStatus allocatedResources resources
    nodeAllocatableResourceClaimStatuses`,
  PodCondition: 'type status lastProbeTime lastTransitionTime reason message observedGeneration',
  PodDNSConfig: 'nameservers searches options',
  PodDNSConfigOption: 'name *value',
  PodIP: 'ip',
  HostIP: 'ip',
  HostAlias: 'ip hostnames',
  PodOS: 'name',
  PodReadinessGate: 'conditionType',
  PodSchedulingGate: 'name',
  PodResourceClaim: 'name 3:*resourceClaimName *resourceClaimTemplateName',
  PodResourceClaimStatus: 'name *resourceClaimName',
  PodExtendedResourceClaimStatus: 'requestMappings resourceClaimName',
  PodSchedulingGroup: '*podGroupName',
  NodeAllocatableResourceClaimStatus: 'resourceClaimName containers resources',
  ContainerExtendedResourceRequest: 'containerName resourceName requestName',

  Container: container,
  EphemeralContainer: '+EphemeralContainerCommon targetContainerName',
  EphemeralContainerCommon: container,
  ContainerPort: 'name hostPort containerPort protocol hostIP',
  ContainerResizePolicy: 'resourceName restartPolicy',
  ContainerRestartRule: 'action exitCodes',
  ContainerRestartRuleOnExitCodes: 'operator values',
  EnvVar: 'name value valueFrom',
  EnvVarSource: 'fieldRef resourceFieldRef configMapKeyRef secretKeyRef fileKeyRef',
  EnvFromSource: 'prefix configMapRef secretRef',
  ObjectFieldSelector: 'apiVersion fieldPath',
  ResourceFieldSelector: 'containerName resource divisor',
  FileKeySelector: 'volumeName path key *optional',
  ConfigMapKeySelector: '+LocalObjectReference key *optional',
  SecretKeySelector: '+LocalObjectReference key *optional',
  ConfigMapEnvSource: '+LocalObjectReference *optional',
  SecretEnvSource: '+LocalObjectReference *optional',
  ResourceRequirements: 'limits requests claims',
  ResourceClaim: 'name request',
  VolumeDevice: 'name devicePath',
  VolumeMount: 'name readOnly mountPath subPath *mountPropagation subPathExpr *recursiveReadOnly',

  Probe: `+ProbeHandler initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold
    *terminationGracePeriodSeconds`,
  ProbeHandler: 'exec httpGet tcpSocket grpc',
  Lifecycle: 'postStart preStop *stopSignal',
  LifecycleHandler: 'exec httpGet tcpSocket sleep',
  ExecAction: 'command',
  HTTPGetAction: 'path port host scheme httpHeaders',
  HTTPHeader: 'name value',
  TCPSocketAction: 'port host',
  GRPCAction: 'port *service',
  SleepAction: 'seconds',

  PodSecurityContext: `seLinuxOptions *runAsUser *runAsNonRoot supplementalGroups *fsGroup *runAsGroup sysctls
    windowsOptions *fsGroupChangePolicy seccompProfile appArmorProfile *supplementalGroupsPolicy
    *seLinuxChangePolicy`,
  SecurityContext: `capabilities *privileged seLinuxOptions *runAsUser *runAsNonRoot *readOnlyRootFilesystem
    *allowPrivilegeEscalation *runAsGroup *procMount windowsOptions seccompProfile appArmorProfile`,
  Capabilities: 'add drop',
  SELinuxOptions: 'user role type level',
  SeccompProfile: 'type *localhostProfile',
  AppArmorProfile: 'type *localhostProfile',
  Sysctl: 'name value',
  WindowsSecurityContextOptions: '*gmsaCredentialSpecName *gmsaCredentialSpec *runAsUserName *hostProcess',

  Affinity: 'nodeAffinity podAffinity podAntiAffinity',
  NodeAffinity:
    'requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution',
  PodAffinity:
    'requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution',
  PodAntiAffinity:
    'requiredDuringSchedulingIgnoredDuringExecution preferredDuringSchedulingIgnoredDuringExecution',
  PodAffinityTerm: 'labelSelector namespaces topologyKey namespaceSelector matchLabelKeys mismatchLabelKeys',
  WeightedPodAffinityTerm: 'weight podAffinityTerm',
  PreferredSchedulingTerm: 'weight preference',
  NodeSelector: 'nodeSelectorTerms',
  NodeSelectorTerm: 'matchExpressions matchFields',
  NodeSelectorRequirement: 'key operator values',
  Toleration: 'key operator value effect *tolerationSeconds',
  TopologySpreadConstraint: `maxSkew topologyKey whenUnsatisfiable labelSelector *minDomains *nodeAffinityPolicy
    *nodeTaintsPolicy matchLabelKeys`,

  ContainerStatus: `name state lastState ready restartCount image imageID containerID *started allocatedResources
    resources volumeMounts user allocatedResourcesStatus *stopSignal`,
  ContainerState: 'waiting running terminated',
  ContainerStateWaiting: 'reason message',
  ContainerStateRunning: 'startedAt',
  ContainerStateTerminated: 'exitCode signal reason message startedAt finishedAt containerID',
  ContainerUser: 'linux',
  LinuxContainerUser: 'uid gid supplementalGroups',
  ResourceStatus: 'name resources',
  ResourceHealth: 'resourceID health 6:*message',
  VolumeMountStatus: 'name mountPath readOnly *recursiveReadOnly volumeStatus',
  VolumeStatus: 'image',
  ImageVolumeStatus: 'imageRef',
};
