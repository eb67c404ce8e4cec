/** Containers of all sorts: names, images, ports, mounts and what belongs to them. */
import type { Container, EphemeralContainer, PodSpec } from '../../types.ts';
import { dnsLabelProblems, portNameProblems } from '../names.ts';
import { checkOneOf, type Problems } from '../problems.ts';
import { checkEnvironment } from './env.ts';
import { checkLifecycle, checkProbes } from './handlers.ts';
import { checkDevices, checkMounts } from './mounts.ts';
import { checkResizePolicy, checkResources } from './resources.ts';
import { checkContainerSecurity } from './security.ts';

type AnyContainer = Container | EphemeralContainer;

/** Checks all containers of a pod. */
export function checkContainers(spec: PodSpec, problems: Problems): void {
  const names = new Set<string>();
  const path = 'spec';
  if (spec.containers === undefined || spec.containers.length === 0) problems.required(`${path}.containers`);
  for (const [at, container] of (spec.containers ?? []).entries())
    checkContainer(container, `${path}.containers[${at}]`, spec, names, problems);
  for (const [at, container] of (spec.initContainers ?? []).entries()) {
    const place = `${path}.initContainers[${at}]`;
    checkContainer(container, place, spec, names, problems);
    if (container.restartPolicy !== 'Always') forbidForInit(container, place, problems);
  }
  for (const [at, container] of (spec.ephemeralContainers ?? []).entries())
    checkEphemeral(container, `${path}.ephemeralContainers[${at}]`, spec, names, problems);
  checkHostPorts(spec, problems);
}

function checkContainer(
  container: Container,
  path: string,
  spec: PodSpec,
  names: Set<string>,
  problems: Problems,
): void {
  checkCommon(container, path, spec, names, problems);
  checkProbes(container, path, problems);
  if (container.lifecycle !== undefined)
    checkLifecycle(container.lifecycle, `${path}.lifecycle`, spec.terminationGracePeriodSeconds, problems);
  checkResizePolicy(container, path, spec, problems);
  checkRestart(container, path, problems);
}

function checkCommon(
  container: AnyContainer,
  path: string,
  spec: PodSpec,
  names: Set<string>,
  problems: Problems,
): void {
  const { name = '', image = '' } = container;
  if (name === '') problems.required(`${path}.name`);
  else problems.invalidAll(`${path}.name`, name, dnsLabelProblems(name));
  if (name !== '' && names.has(name)) problems.duplicate(`${path}.name`, name);
  names.add(name);
  if (image === '') problems.required(`${path}.image`);
  else if (image !== image.trim())
    problems.invalid(`${path}.image`, image, 'must not have leading or trailing whitespace');
  checkOneOf(problems, `${path}.terminationMessagePolicy`, container.terminationMessagePolicy, [
    'FallbackToLogsOnError',
    'File',
  ]);
  checkOneOf(problems, `${path}.imagePullPolicy`, container.imagePullPolicy, [
    'Always',
    'IfNotPresent',
    'Never',
  ]);
  checkPorts(container, path, problems);
  checkEnvironment(container, path, problems);
  checkMounts(container, path, spec, problems);
  checkDevices(container, path, spec, problems);
  checkResources(container.resources ?? {}, `${path}.resources`, spec, problems);
  checkContainerSecurity(container, path, spec, problems);
}

function checkPorts({ ports = [] }: AnyContainer, path: string, problems: Problems): void {
  const names = new Set<string>();
  for (const [at, port] of ports.entries()) {
    const place = `${path}.ports[${at}]`;
    if (port.name !== undefined && port.name !== '') {
      problems.invalidAll(`${place}.name`, port.name, portNameProblems(port.name));
      if (names.has(port.name)) problems.duplicate(`${place}.name`, port.name);
      names.add(port.name);
    }
    if (port.containerPort === undefined || port.containerPort === 0)
      problems.required(`${place}.containerPort`);
    else checkPort(port.containerPort, `${place}.containerPort`, problems);
    if (port.hostPort !== undefined && port.hostPort !== 0)
      checkPort(port.hostPort, `${place}.hostPort`, problems);
    checkOneOf(problems, `${place}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']);
  }
}

function checkPort(port: number, path: string, problems: Problems): void {
  if (port < 1 || port > 65535) problems.invalid(path, port, 'must be between 1 and 65535, inclusive');
}

/** Two containers of a pod cannot have one host port; with the host's network the ports must be equal. */
function checkHostPorts(spec: PodSpec, problems: Problems): void {
  const taken = new Set<string>();
  for (const [at, container] of (spec.containers ?? []).entries()) {
    for (const [index, port] of (container.ports ?? []).entries()) {
      const place = `spec.containers[${at}].ports[${index}]`;
      const hostPort = port.hostPort ?? 0;
      if (spec.hostNetwork === true && hostPort !== port.containerPort)
        problems.invalid(
          `${place}.containerPort`,
          port.containerPort,
          'must match `hostPort` when `hostNetwork` is true',
        );
      if (hostPort === 0) continue;
      const key = `${port.protocol}/${port.hostIP ?? ''}/${hostPort}`;
      if (taken.has(key)) problems.duplicate(`${place}.hostPort`, key);
      taken.add(key);
    }
  }
}

function checkRestart(container: Container, path: string, problems: Problems): void {
  const { restartPolicy, restartPolicyRules = [] } = container;
  if (restartPolicy !== undefined)
    checkOneOf(problems, `${path}.restartPolicy`, restartPolicy, ['Always', 'OnFailure', 'Never']);
  if (restartPolicyRules.length > 0 && restartPolicy === undefined)
    problems.required(`${path}.restartPolicy`, 'must specify restartPolicy when restart rules are used');
  if (restartPolicyRules.length > 20)
    problems.tooMany(`${path}.restartPolicyRules`, restartPolicyRules.length, 20);
  for (const [at, rule] of restartPolicyRules.entries()) {
    const place = `${path}.restartPolicyRules[${at}]`;
    checkOneOf(problems, `${place}.action`, rule.action, ['Restart', 'RestartAllContainers']);
    if (rule.exitCodes === undefined) {
      problems.required(`${place}.exitCodes`, 'must be specified');
      continue;
    }
    checkOneOf(problems, `${place}.exitCodes.operator`, rule.exitCodes.operator, ['In', 'NotIn']);
    const count = rule.exitCodes.values?.length ?? 0;
    if (count === 0) problems.required(`${place}.exitCodes.values`, 'must specify at least one value');
    if (count > 255) problems.tooMany(`${place}.exitCodes.values`, count, 255);
  }
}

/** An ordinary init container ends before anything could probe it. */
function forbidForInit(container: Container, path: string, problems: Problems): void {
  const reason = 'may not be set for init containers without restartPolicy=Always';
  for (const field of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const)
    if (container[field] !== undefined) problems.forbidden(`${path}.${field}`, reason);
}

const allowedForEphemeral = new Set(
  [
    'name image command args workingDir envFrom env volumeMounts volumeDevices terminationMessagePath',
    'terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty targetContainerName',
  ].flatMap((line) => line.split(' ')),
);

function checkEphemeral(
  container: EphemeralContainer,
  path: string,
  spec: PodSpec,
  names: Set<string>,
  problems: Problems,
): void {
  checkCommon(container, path, spec, names, problems);
  const target = container.targetContainerName;
  const targets = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((each) => each.name);
  if (target !== undefined && target !== '' && !targets.includes(target))
    problems.notFound(`${path}.targetContainerName`, target);
  for (const [field, value] of Object.entries(container)) {
    const empty = value === undefined || (field === 'resources' && Object.keys(value as object).length === 0);
    if (!empty && !allowedForEphemeral.has(field))
      problems.forbidden(`${path}.${field}`, 'cannot be set for an Ephemeral Container');
  }
}
