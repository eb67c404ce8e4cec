/** What to say of a path that nothing is at. */

import { closest } from '#contracts/kubernetes/decode/suggest.ts';
import { kinds, unknownKind } from '#contracts/kubernetes/kinds.ts';
import { apiVersionOf } from '#contracts/kubernetes/meta.ts';
import type { ApiRequest } from './request.ts';
import { noSuchPath, type StatusError } from './status.ts';

/** Plurals that people ask for, by kind. */
const known: Record<string, string> = {
  deployments: 'Deployment',
  replicasets: 'ReplicaSet',
  statefulsets: 'StatefulSet',
  daemonsets: 'DaemonSet',
  jobs: 'Job',
  cronjobs: 'CronJob',
  ingresses: 'Ingress',
  resourcequotas: 'ResourceQuota',
  replicationcontrollers: 'ReplicationController',
  roles: 'Role',
  rolebindings: 'RoleBinding',
  clusterroles: 'ClusterRole',
  clusterrolebindings: 'ClusterRoleBinding',
  networkpolicies: 'NetworkPolicy',
  poddisruptionbudgets: 'PodDisruptionBudget',
  horizontalpodautoscalers: 'HorizontalPodAutoscaler',
  limitranges: 'LimitRange',
  endpoints: 'Endpoints',
  customresourcedefinitions: 'CustomResourceDefinition',
};

/** 404 with a hint where there is one. */
export function unknownPath({ target }: Pick<ApiRequest, 'target'>): StatusError {
  const { group, version = '', resource, subresource } = target;
  if (resource === undefined) return noSuchPath();
  const kind = known[resource];
  const apiVersion = apiVersionOf({ group: group ?? '', version });
  if (kind !== undefined) return noSuchPath(unknownKind(apiVersion, kind));
  const same = kinds.find((each) => each.plural === resource);
  if (same !== undefined && subresource !== undefined)
    return noSuchPath(`${resource} have no ${subresource} here`);
  if (same !== undefined) return noSuchPath(`${resource} are at ${apiVersionOf(same)}`);
  const near = closest(
    resource,
    kinds.map((each) => each.plural),
  );
  return noSuchPath(near === undefined ? undefined : `did you mean ${near}?`);
}
