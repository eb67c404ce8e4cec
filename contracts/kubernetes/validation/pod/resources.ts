/** Requests and limits. */
import { compareQuantities, quantity, wholeUnits } from '../../quantity.ts';
import type { Container, PodSpec, ResourceRequirements } from '../../types.ts';
import { labelKeyProblems } from '../names.ts';
import { checkOneOf, type Problems } from '../problems.ts';

const standard = new Set(['cpu', 'memory', 'ephemeral-storage']);

/** Checks the resources of a container. */
export function checkResources(
  resources: ResourceRequirements,
  path: string,
  spec: PodSpec,
  problems: Problems,
): void {
  for (const side of ['limits', 'requests'] as const)
    for (const [name, amount] of Object.entries(resources[side] ?? {}))
      checkAmount(name, amount, `${path}.${side}[${name}]`, side, problems);
  for (const [name, request] of Object.entries(resources.requests ?? {})) {
    const limit = resources.limits?.[name];
    const place = `${path}.requests`;
    if (limit === undefined) {
      if (!overcommits(name))
        problems.required(`${path}.limits`, 'Limit must be set for non overcommitable resources');
      continue;
    }
    const order = compareQuantities(quantity(request), quantity(limit));
    if (!overcommits(name) && order !== 0)
      problems.invalid(place, request, `must be equal to ${name} limit of ${limit}`);
    else if (order > 0)
      problems.invalid(place, request, `must be less than or equal to ${name} limit of ${limit}`);
  }
  const claims = spec.resourceClaims?.map((claim) => claim.name) ?? [];
  for (const [at, claim] of (resources.claims ?? []).entries())
    if (!claims.includes(claim.name)) problems.notFound(`${path}.claims[${at}]`, claim.name);
}

/** Extended resources and huge pages cannot be promised twice. */
function overcommits(name: string): boolean {
  return standard.has(name);
}

function checkAmount(name: string, amount: string, path: string, side: string, problems: Problems): void {
  problems.invalidAll(path, name, labelKeyProblems(name));
  if (!name.includes('/') && !standard.has(name) && !name.startsWith('hugepages-'))
    problems.invalid(path, name, 'must be a standard resource type or fully qualified');
  const value = quantity(amount);
  if (value.nanos < 0n) problems.invalid(path, amount, 'must be greater than or equal to 0');
  if (name.includes('/') && wholeUnits(value) * 1_000_000_000n !== value.nanos)
    problems.invalid(path, amount, 'must be an integer');
  if (side === 'limits' && name.startsWith('hugepages-') && value.nanos % 1_000_000_000n !== 0n)
    problems.invalid(path, amount, 'must be an integer');
}

/** Checks how a container takes new resources. */
export function checkResizePolicy(
  container: Container,
  path: string,
  spec: PodSpec,
  problems: Problems,
): void {
  const seen = new Set<string>();
  for (const [at, policy] of (container.resizePolicy ?? []).entries()) {
    const place = `${path}.resizePolicy[${at}]`;
    checkOneOf(problems, place, policy.resourceName, ['cpu', 'memory']);
    checkOneOf(problems, place, policy.restartPolicy, ['NotRequired', 'RestartContainer']);
    if (seen.has(policy.resourceName)) problems.duplicate(place, policy.resourceName);
    seen.add(policy.resourceName);
    if (spec.restartPolicy === 'Never' && policy.restartPolicy === 'RestartContainer')
      problems.invalid(place, policy.restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
  }
}

/** Checks the pod's own resources. */
export function checkPodResources(spec: PodSpec, problems: Problems): void {
  const { resources } = spec;
  if (resources === undefined) return;
  for (const side of ['limits', 'requests'] as const) {
    for (const [name, amount] of Object.entries(resources[side] ?? {})) {
      const place = `spec.resources.${side}[${name}]`;
      if (name !== 'cpu' && name !== 'memory' && !name.startsWith('hugepages-'))
        problems.notSupported(place, name, ['cpu', 'hugepages-', 'memory']);
      if (quantity(amount).nanos < 0n) problems.invalid(place, amount, 'must be greater than or equal to 0');
      const limit = side === 'requests' ? resources.limits?.[name] : undefined;
      if (limit !== undefined && compareQuantities(quantity(amount), quantity(limit)) > 0)
        problems.invalid(
          'spec.resources.requests',
          amount,
          `must be less than or equal to ${name} limit of ${limit}`,
        );
    }
  }
}
