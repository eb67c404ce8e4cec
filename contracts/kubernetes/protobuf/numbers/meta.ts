/** What all kinds share: metadata, lists, failures, options, references, selectors. See `../table.ts` for the notation. */
export const meta: Readonly<Record<string, string>> = {
  ObjectMeta: `name generateName namespace selfLink uid resourceVersion generation creationTimestamp
    deletionTimestamp *deletionGracePeriodSeconds labels annotations ownerReferences finalizers 17:managedFields`,
  OwnerReference: 'kind 3:name uid apiVersion *controller *blockOwnerDeletion',
  ManagedFieldsEntry: 'manager operation apiVersion time 6:fieldsType fieldsV1 subresource',
  ListMeta: 'selfLink resourceVersion continue *remainingItemCount shardInfo',
  ShardInfo: 'selector',
  PartialObjectMetadata: 'metadata',
  DeleteOptions: `*gracePeriodSeconds preconditions *orphanDependents *propagationPolicy dryRun
    *ignoreStoreReadErrorWithClusterBreakingPotential`,
  Preconditions: '*uid *resourceVersion',
  Status: 'metadata status message reason details code',
  StatusDetails: 'name group kind causes retryAfterSeconds uid',
  StatusCause: 'reason message field',
  Condition: 'type status observedGeneration lastTransitionTime reason message',

  LabelSelector: 'matchLabels matchExpressions',
  LabelSelectorRequirement: 'key operator values',
  FieldSelectorRequirement: 'key operator values',

  LocalObjectReference: 'name',
  ObjectReference: 'kind namespace name uid apiVersion resourceVersion fieldPath',
  TypedLocalObjectReference: '*apiGroup kind name',
  TypedObjectReference: '*apiGroup kind name *namespace',
  SecretReference: 'name namespace',
};
