/**
 * Which nodes a pod may be on: its node selector and required node affinity against a node's labels and fields, and
 * tolerations against taints. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
 */
import { matchesFields } from './fields.ts';
import { matchesLabels, selectorRequirements } from './labels.ts';
import type { Node, NodeSelectorTerm, Pod, Taint, Toleration } from './types.ts';

/** Whether the pod's selector and required affinity allow the node. */
export function selectsNode({ spec }: Pick<Pod, 'spec'>, node: Pick<Node, 'metadata'>): boolean {
  const { labels = {} } = node.metadata;
  const selected = Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return selected && (terms === undefined || terms.some((term) => termMatches(term, node)));
}

/** Whether a node fulfils a term; an empty one fulfils nothing. */
function termMatches(
  { matchExpressions = [], matchFields = [] }: NodeSelectorTerm,
  node: Pick<Node, 'metadata'>,
): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const ordinary = matchExpressions.filter(({ operator }) => operator !== 'Gt' && operator !== 'Lt');
  const compared = matchExpressions.filter(({ operator }) => operator === 'Gt' || operator === 'Lt');
  const requirements = [
    ...selectorRequirements({ matchExpressions: ordinary }),
    ...compared.map(({ key, operator, values = [] }) => ({
      key,
      operator: operator === 'Gt' ? ('gt' as const) : ('lt' as const),
      values,
    })),
  ];
  const fields = matchFields.flatMap(({ key, operator, values = [] }) =>
    values.map((value) => ({ field: key, equal: operator === 'In', value })),
  );
  return matchesLabels(requirements, node.metadata.labels) && matchesFields(fields, node);
}

/** Whether any of the tolerations is for the taint. */
export function tolerates(tolerations: readonly Toleration[], taint: Taint): boolean {
  return tolerations.some(
    ({ key = '', operator = 'Equal', value = '', effect = '' }) =>
      (key === '' ? operator === 'Exists' : key === taint.key) &&
      (effect === '' || effect === taint.effect) &&
      (operator === 'Exists' || value === (taint.value ?? '')),
  );
}
