/** What decides where a pod runs: tolerations, node selection, spreading. */
import type { NodeSelectorTerm, PodSpec, Toleration } from '../../types.ts';
import { checkLabels } from '../meta.ts';
import { labelKeyProblems, labelValueProblems } from '../names.ts';
import { checkOneOf, type Problems } from '../problems.ts';

/** Checks scheduling fields. */
export function checkScheduling(spec: PodSpec, problems: Problems): void {
  checkLabels(spec.nodeSelector, 'spec.nodeSelector', problems);
  for (const [at, toleration] of (spec.tolerations ?? []).entries())
    checkToleration(toleration, `spec.tolerations[${at}]`, problems);
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const path = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms';
  if (required !== undefined) {
    if ((required.nodeSelectorTerms ?? []).length === 0)
      problems.required(path, 'must have at least one node selector term');
    for (const [at, term] of (required.nodeSelectorTerms ?? []).entries())
      checkTerm(term, `${path}[${at}]`, problems);
  }
  for (const [at, each] of (spec.topologySpreadConstraints ?? []).entries()) {
    const place = `spec.topologySpreadConstraints[${at}]`;
    if (!(each.maxSkew > 0))
      problems.invalid(`${place}.maxSkew`, each.maxSkew ?? 0, 'must be greater than zero');
    if (!each.topologyKey) problems.required(`${place}.topologyKey`, 'can not be empty');
    checkOneOf(problems, `${place}.whenUnsatisfiable`, each.whenUnsatisfiable, [
      'DoNotSchedule',
      'ScheduleAnyway',
    ]);
  }
  const gates = new Set<string>();
  for (const [at, { name }] of (spec.schedulingGates ?? []).entries()) {
    problems.invalidAll(`spec.schedulingGates[${at}]`, name, labelKeyProblems(name ?? ''));
    if (gates.has(name)) problems.duplicate(`spec.schedulingGates[${at}]`, name);
    gates.add(name);
  }
}

function checkToleration(toleration: Toleration, path: string, problems: Problems): void {
  const { key = '', operator = 'Equal', value = '', effect = '' } = toleration;
  if (key !== '') problems.invalidAll(`${path}.key`, key, labelKeyProblems(key));
  else if (operator !== 'Exists')
    problems.invalid(
      `${path}.operator`,
      operator,
      'operator must be Exists when `key` is empty, which means "match all values and all keys"',
    );
  if (toleration.tolerationSeconds !== undefined && effect !== 'NoExecute')
    problems.invalid(`${path}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
  if (operator === 'Equal') problems.invalidAll(`${path}.operator`, value, labelValueProblems(value));
  else if (operator === 'Exists') {
    if (value !== '')
      problems.invalid(`${path}.operator`, toleration, "value must be empty when `operator` is 'Exists'");
  } else if (!['Lt', 'Gt'].includes(operator))
    problems.notSupported(`${path}.operator`, operator, ['Equal', 'Exists']);
  if (effect !== '' && !['NoExecute', 'NoSchedule', 'PreferNoSchedule'].includes(effect))
    problems.notSupported(`${path}.effect`, effect, ['NoExecute', 'NoSchedule', 'PreferNoSchedule']);
}

function checkTerm(term: NodeSelectorTerm, path: string, problems: Problems): void {
  for (const [at, { key, operator, values = [] }] of (term.matchExpressions ?? []).entries()) {
    const place = `${path}.matchExpressions[${at}]`;
    problems.invalidAll(`${place}.key`, key, labelKeyProblems(key ?? ''));
    switch (operator) {
      case 'In':
      case 'NotIn':
        if (values.length === 0)
          problems.required(`${place}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
        break;
      case 'Exists':
      case 'DoesNotExist':
        if (values.length > 0)
          problems.forbidden(
            `${place}.values`,
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
          );
        break;
      case 'Gt':
      case 'Lt':
        if (values.length !== 1)
          problems.required(
            `${place}.values`,
            "must be specified single value when `operator` is 'Lt' or 'Gt'",
          );
        break;
      default:
        problems.invalid(`${place}.operator`, operator ?? '', 'not a valid selector operator');
    }
  }
}
