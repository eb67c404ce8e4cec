/** Volumes of pods, persistent volumes and claims, and storage drivers. See `../table.ts` for the notation. */
const secretLater = 'monitors path user secretFile secretRef readOnly';
const cinder = 'volumeID fsType readOnly secretRef';
const flex = 'driver fsType secretRef readOnly options';
const iscsi = `targetPortal iqn lun iscsiInterface fsType readOnly portals chapAuthDiscovery 10:secretRef
  chapAuthSession *initiatorName`;
const rbd = 'monitors image fsType pool user keyring secretRef readOnly';
const scaleIo = `gateway system secretRef sslEnabled protectionDomain storagePool storageMode volumeName fsType
  readOnly`;
const storageOs = 'volumeName volumeNamespace fsType readOnly secretRef';

export const volumes: Readonly<Record<string, string>> = {
  Volume: 'name +VolumeSource',
  VolumeSource: `hostPath emptyDir gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi glusterfs
    persistentVolumeClaim rbd flexVolume cinder cephfs flocker downwardAPI fc azureFile configMap vsphereVolume
    quobyte azureDisk photonPersistentDisk portworxVolume scaleIO projected storageos csi ephemeral image`,
  HostPathVolumeSource: 'path *type',
  EmptyDirVolumeSource: 'medium sizeLimit',
  SecretVolumeSource: 'secretName items *defaultMode *optional',
  ConfigMapVolumeSource: '+LocalObjectReference items *defaultMode *optional',
  KeyToPath: 'key path *mode',
  DownwardAPIVolumeSource: 'items *defaultMode',
  DownwardAPIVolumeFile: 'path fieldRef resourceFieldRef *mode',
  ProjectedVolumeSource: 'sources *defaultMode',
  VolumeProjection: 'secret downwardAPI configMap serviceAccountToken clusterTrustBundle podCertificate',
  SecretProjection: '+LocalObjectReference items 4:*optional',
  ConfigMapProjection: '+LocalObjectReference items 4:*optional',
  DownwardAPIProjection: 'items',
  ServiceAccountTokenProjection: 'audience *expirationSeconds path',
  ClusterTrustBundleProjection: '*name *signerName labelSelector path *optional',
  PodCertificateProjection: `signerName keyType *maxExpirationSeconds credentialBundlePath keyPath
    certificateChainPath userAnnotations`,
  ImageVolumeSource: 'reference pullPolicy',
  EphemeralVolumeSource: 'volumeClaimTemplate',
  PersistentVolumeClaimTemplate: 'metadata spec',
  PersistentVolumeClaimVolumeSource: 'claimName readOnly',
  CSIVolumeSource: 'driver *readOnly *fsType volumeAttributes nodePublishSecretRef',
  NFSVolumeSource: 'server path readOnly',

  PersistentVolume: 'metadata spec status',
  PersistentVolumeSpec: `capacity +PersistentVolumeSource accessModes claimRef persistentVolumeReclaimPolicy
    storageClassName mountOptions *volumeMode nodeAffinity *volumeAttributesClassName`,
  PersistentVolumeSource: `gcePersistentDisk awsElasticBlockStore hostPath glusterfs nfs rbd iscsi cinder cephfs fc
    flocker flexVolume azureFile vsphereVolume quobyte azureDisk photonPersistentDisk portworxVolume scaleIO local
    storageos csi`,
  PersistentVolumeStatus: 'phase message reason lastPhaseTransitionTime',
  VolumeNodeAffinity: 'required',
  LocalVolumeSource: 'path *fsType',
  CSIPersistentVolumeSource: `driver volumeHandle readOnly fsType volumeAttributes controllerPublishSecretRef
    nodeStageSecretRef nodePublishSecretRef controllerExpandSecretRef nodeExpandSecretRef`,
  PersistentVolumeClaim: 'metadata spec status',
  PersistentVolumeClaimSpec: `accessModes resources volumeName selector *storageClassName *volumeMode dataSource
    dataSourceRef *volumeAttributesClassName`,
  PersistentVolumeClaimStatus: `phase accessModes capacity conditions allocatedResources
    7:allocatedResourceStatuses *currentVolumeAttributesClassName modifyVolumeStatus`,
  PersistentVolumeClaimCondition: 'type status lastProbeTime lastTransitionTime reason message',
  ModifyVolumeStatus: 'targetVolumeAttributesClassName status',
  VolumeResourceRequirements: 'limits requests',

  StorageClass: `metadata provisioner parameters *reclaimPolicy mountOptions *allowVolumeExpansion
    *volumeBindingMode allowedTopologies`,
  TopologySelectorTerm: 'matchLabelExpressions',
  TopologySelectorLabelRequirement: 'key values',
  CSIDriver: 'metadata spec',
  CSIDriverSpec: `*attachRequired *podInfoOnMount volumeLifecycleModes *storageCapacity *fsGroupPolicy tokenRequests
    *requiresRepublish *seLinuxMount *nodeAllocatableUpdatePeriodSeconds *serviceAccountTokenInSecrets
    *preventPodSchedulingIfMissing`,
  StorageTokenRequest: 'audience *expirationSeconds',
  CSINode: 'metadata spec',
  CSINodeSpec: 'drivers',
  CSINodeDriver: 'name nodeID topologyKeys allocatable',
  VolumeNodeResources: '*count',
  VolumeAttachment: 'metadata spec status',
  VolumeAttachmentSpec: 'attacher source nodeName',
  VolumeAttachmentSource: '*persistentVolumeName inlineVolumeSpec',
  VolumeAttachmentStatus: 'attached attachmentMetadata attachError detachError',
  VolumeError: 'time message *errorCode',

  // Sources that no node of ours mounts, but objects may carry.
  AWSElasticBlockStoreVolumeSource: 'volumeID fsType partition readOnly',
  AzureDiskVolumeSource: 'diskName diskURI *cachingMode *fsType *readOnly *kind',
  AzureFileVolumeSource: 'secretName shareName readOnly',
  AzureFilePersistentVolumeSource: 'secretName shareName readOnly *secretNamespace',
  CephFSVolumeSource: secretLater,
  CephFSPersistentVolumeSource: secretLater,
  CinderVolumeSource: cinder,
  CinderPersistentVolumeSource: cinder,
  FCVolumeSource: 'targetWWNs *lun fsType readOnly wwids',
  FlexVolumeSource: flex,
  FlexPersistentVolumeSource: flex,
  FlockerVolumeSource: 'datasetName datasetUUID',
  GCEPersistentDiskVolumeSource: 'pdName fsType partition readOnly',
  GitRepoVolumeSource: 'repository revision directory',
  GlusterfsVolumeSource: 'endpoints path readOnly',
  GlusterfsPersistentVolumeSource: 'endpoints path readOnly *endpointsNamespace',
  ISCSIVolumeSource: iscsi,
  ISCSIPersistentVolumeSource: iscsi,
  PhotonPersistentDiskVolumeSource: 'pdID fsType',
  PortworxVolumeSource: 'volumeID fsType readOnly',
  QuobyteVolumeSource: 'registry volume readOnly user group tenant',
  RBDVolumeSource: rbd,
  RBDPersistentVolumeSource: rbd,
  ScaleIOVolumeSource: scaleIo,
  ScaleIOPersistentVolumeSource: scaleIo,
  StorageOSVolumeSource: storageOs,
  StorageOSPersistentVolumeSource: storageOs,
  VsphereVirtualDiskVolumeSource: 'volumePath fsType storagePolicyName storagePolicyID',
};
