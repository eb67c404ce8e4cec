/** Pods: ValidatePodCreate in the original. One file per part of the spec. */

import { isIP } from 'node:net';
import type { Pod, PodSpec } from '../../types.ts';
import { dnsLabelProblems, dnsSubdomainProblems, labelKeyProblems } from '../names.ts';
import { checkNotNegative, checkOneOf, type Problems } from '../problems.ts';
import { checkContainers } from './containers.ts';
import { checkPodResources } from './resources.ts';
import { checkScheduling } from './scheduling.ts';
import { checkPodSecurity } from './security.ts';
import { checkVolumes } from './volumes.ts';

/** Checks a pod's spec, defaults filled in. */
export function checkPod({ spec }: Pod, problems: Problems): void {
  if (spec === undefined) {
    problems.required('spec');
    return;
  }
  checkVolumes(spec, problems);
  checkContainers(spec, problems);
  checkPolicies(spec, problems);
  checkNames(spec, problems);
  checkNetwork(spec, problems);
  checkScheduling(spec, problems);
  checkPodResources(spec, problems);
  if (spec.securityContext !== undefined) checkPodSecurity(spec.securityContext, spec, problems);
}

/** Checks a new pod. */
export function checkNewPod(pod: Pod, problems: Problems): void {
  checkPod(pod, problems);
  if ((pod.spec?.ephemeralContainers ?? []).length > 0)
    problems.forbidden('spec.ephemeralContainers', 'cannot be set on create');
  if ((pod.spec?.schedulingGates ?? []).length > 0 && pod.spec.nodeName)
    problems.forbidden('spec.nodeName', 'cannot be set until all schedulingGates have been cleared');
}

function checkPolicies(spec: PodSpec, problems: Problems): void {
  checkOneOf(problems, 'spec.restartPolicy', spec.restartPolicy, ['Always', 'OnFailure', 'Never']);
  checkOneOf(problems, 'spec.dnsPolicy', spec.dnsPolicy, [
    'ClusterFirst',
    'ClusterFirstWithHostNet',
    'Default',
    'None',
  ]);
  checkNotNegative(problems, 'spec.terminationGracePeriodSeconds', spec.terminationGracePeriodSeconds);
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2 ** 31 - 1))
    problems.invalid(
      'spec.activeDeadlineSeconds',
      deadline,
      `must be between 1 and ${2 ** 31 - 1}, inclusive`,
    );
  if (spec.preemptionPolicy !== undefined)
    checkOneOf(problems, 'spec.preemptionPolicy', spec.preemptionPolicy, ['Never', 'PreemptLowerPriority']);
  for (const [at, gate] of (spec.readinessGates ?? []).entries())
    problems.invalidAll(
      `spec.readinessGates[${at}].conditionType`,
      gate.conditionType,
      labelKeyProblems(gate.conditionType ?? ''),
    );
  if (spec.os !== undefined) checkOneOf(problems, 'spec.os.name', spec.os.name, ['linux', 'windows']);
}

function checkNames(spec: PodSpec, problems: Problems): void {
  const labels = { hostname: spec.hostname, subdomain: spec.subdomain };
  for (const [field, value] of Object.entries(labels))
    if (value) problems.invalidAll(`spec.${field}`, value, dnsLabelProblems(value));
  const subdomains = {
    serviceAccountName: spec.serviceAccountName,
    nodeName: spec.nodeName,
    runtimeClassName: spec.runtimeClassName,
    priorityClassName: spec.priorityClassName,
    hostnameOverride: spec.hostnameOverride,
  };
  for (const [field, value] of Object.entries(subdomains))
    if (value) problems.invalidAll(`spec.${field}`, value, dnsSubdomainProblems(value));
  for (const [at, { name }] of (spec.imagePullSecrets ?? []).entries())
    if (!name) problems.required(`spec.imagePullSecrets[${at}].name`);
}

function checkNetwork(spec: PodSpec, problems: Problems): void {
  for (const [at, alias] of (spec.hostAliases ?? []).entries()) {
    const path = `spec.hostAliases[${at}]`;
    if (isIP(alias.ip ?? '') === 0)
      problems.invalid(
        `${path}.ip`,
        alias.ip ?? '',
        'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      );
    for (const [index, name] of (alias.hostnames ?? []).entries())
      problems.invalidAll(`${path}.hostnames[${index}]`, name, dnsSubdomainProblems(name));
  }
  const dns = spec.dnsConfig;
  if (spec.dnsPolicy === 'None' && (dns?.nameservers ?? []).length === 0)
    problems.required(
      'spec.dnsConfig.nameservers',
      'must provide at least one DNS nameserver when `dnsPolicy` is None',
    );
  if (dns === undefined) return;
  const { nameservers = [], searches = [], options = [] } = dns;
  if (nameservers.length > 3)
    problems.invalid('spec.dnsConfig.nameservers', nameservers, 'must not have more than 3 nameservers');
  for (const [at, server] of nameservers.entries())
    if (isIP(server) === 0)
      problems.invalid(
        `spec.dnsConfig.nameservers[${at}]`,
        server,
        'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      );
  if (searches.length > 32)
    problems.invalid('spec.dnsConfig.searches', searches, 'must not have more than 32 search paths');
  if (searches.join(' ').length > 2048)
    problems.invalid(
      'spec.dnsConfig.searches',
      searches,
      'must not have more than 2048 characters (including spaces) in the search list',
    );
  for (const [at, option] of options.entries())
    if (!option.name) problems.required(`spec.dnsConfig.options[${at}]`, 'must not be empty');
}
