/** Events: loosely in the core group, as clients of old write them, and strictly in events.k8s.io. */
import type { CoreEvent, NewEvent } from '../types.ts';
import { labelKeyProblems } from './names.ts';
import type { Problems } from './problems.ts';

/** Characters. */
const limits = { reportingInstance: 128, action: 128, reason: 128, message: 1024 } as const;

/** What both groups' events have, in the names of the core group, which are those of problems, too. */
interface Told {
  namespace: string;
  about: string;
  eventTime: unknown;
  controller: string;
  reportingInstance: string;
  action: string;
  reason: string;
  message: string;
}

/** Checks an event of the core group. */
export function checkEvent(event: CoreEvent, problems: Problems): void {
  const told = {
    ...commonOf(event),
    about: event.involvedObject?.namespace ?? '',
    controller: event.reportingComponent ?? '',
    message: event.message ?? '',
  };
  checkTold(told, 'reportingComponent', problems);
}

/** Checks a new event of events.k8s.io. */
export function checkNewEvent(event: NewEvent, problems: Problems): void {
  const told = {
    ...commonOf(event),
    about: event.regarding?.namespace ?? '',
    controller: event.reportingController ?? '',
    message: event.note ?? '',
  };
  checkTold(told, 'reportingController', problems);
  const { series, type = '' } = event;
  if (series !== undefined && series.count < 2) problems.invalid('series.count', '', 'should be at least 2');
  if (series !== undefined && !series.lastObservedTime) problems.required('series.lastObservedTime');
  if (!event.eventTime) problems.required('eventTime');
  if (type !== 'Normal' && type !== 'Warning') problems.invalid('type', '', `has invalid value: ${type}`);
  const { deprecatedSource: source } = event;
  const old: [field: string, isSet: boolean][] = [
    ['firstTimestamp', event.deprecatedFirstTimestamp !== undefined],
    ['lastTimestamp', event.deprecatedLastTimestamp !== undefined],
    ['count', (event.deprecatedCount ?? 0) !== 0],
    ['source', Boolean(source?.component || source?.host)],
  ];
  for (const [field, isSet] of old) if (isSet) problems.invalid(field, '', 'needs to be unset');
}

function commonOf({ metadata, eventTime, reportingInstance, action, reason }: CoreEvent | NewEvent) {
  return {
    namespace: metadata.namespace ?? '',
    eventTime,
    reportingInstance: reportingInstance ?? '',
    action: action ?? '',
    reason: reason ?? '',
  };
}

/** Events of old have no eventTime: of these only the namespace is judged. */
function checkTold(told: Told, controllerField: string, problems: Problems): void {
  const { namespace, about, controller } = told;
  const mismatch = () =>
    problems.invalid('involvedObject.namespace', about, 'does not match event.namespace');
  if (!told.eventTime) {
    if (about === '' ? namespace !== 'default' : about !== namespace) mismatch();
    return;
  }
  if (about === '' && namespace !== 'default' && namespace !== 'kube-system') mismatch();
  if (controller === '') problems.required(controllerField);
  problems.invalidAll(controllerField, controller, labelKeyProblems(controller));
  for (const field of ['reportingInstance', 'action', 'reason'] as const)
    if (told[field] === '') problems.required(field);
  for (const [field, limit] of Object.entries(limits))
    if (told[field as keyof typeof limits].length > limit)
      problems.invalid(field, '', `can have at most ${limit} characters`);
}
