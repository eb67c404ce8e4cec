/** Does the steps of a case: each looks until things are as wanted, and fails with what differs when time is over. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { fillIn, type PodCase, type Step } from './case.ts';
import type { PodEvent } from './event-log.ts';
import type { KubeletClient } from './kubelet-client.ts';
import { differences, textDifferences } from './match.ts';
import { viewOf } from './view.ts';

/** What a case runs in. */
export interface Scene {
  podCase: PodCase;
  kubelet: Pick<KubeletClient, 'logs' | 'exec'>;
  /** The newest list of pods; asks the kubelet at most a few times a second however many cases ask. */
  pods(): Promise<readonly Pod[]>;
  /** What the runtime still runs. */
  runningPods(): Promise<readonly Pod[]>;
  /** The pod as it was seen last; its events are still to be seen when it is gone. */
  seen?: Pod;
  /** The kubelet's events until now; undefined if nobody knows them. */
  events: (() => readonly PodEvent[]) | undefined;
  /** What the marks stand for. */
  words: Readonly<Record<string, string>>;
  /** The case's own directory of the host. */
  directory: string;
  /** Writes the manifest's text, or that of another pod of the case. */
  write(text: string, other?: string): void;
  /** The manifest's text as it was written last. */
  text(): string;
  /** Takes the manifest away, or that of another pod. */
  unlink(other?: string): void;
  /** The scenes of the case's other pods that steps looked at, by name. */
  others: Map<string, Scene>;
  /** How long a step may take unless it says so, in seconds. */
  patience: number;
}

/** The pod of a case: static pods carry their node's name. */
export async function podOf(scene: Scene): Promise<Pod | undefined> {
  const name = scene.podCase.pod ?? scene.podCase.name;
  const found = (await scene.pods()).find(
    ({ metadata, spec }) =>
      metadata.name === `${name}-${spec.nodeName}` && metadata.namespace === scene.podCase.namespace,
  );
  if (found !== undefined) scene.seen = found;
  return found;
}

/** Whether anything of the pod still runs: a static pod leaves /pods as soon as its manifest is gone. */
async function stillRuns({ seen, runningPods }: Scene): Promise<boolean> {
  if (seen === undefined) return false;
  const { name, namespace } = seen.metadata;
  return (await runningPods()).some(
    ({ metadata }) => metadata.name === name && metadata.namespace === namespace,
  );
}

/** The scene of another pod of the case. */
function sceneOf(scene: Scene, name: string | undefined): Scene {
  if (name === undefined) return scene;
  const known = scene.others.get(name) ?? {
    ...scene,
    podCase: { ...scene.podCase, pod: name },
    seen: undefined,
  };
  scene.others.set(name, known);
  return known;
}

/** Does one step. @throws Error with a line for each difference. */
export async function doStep(whole: Scene, raw: Step): Promise<void> {
  if ('write' in raw)
    return whole.write(fillIn(whole.podCase.others[raw.write] ?? '', whole.words), raw.write);
  if ('unlink' in raw) return whole.unlink(raw.unlink);
  const scene = sceneOf(whole, 'of' in raw ? raw.of : undefined);
  const ms = ('within' in raw ? (raw.within ?? scene.patience) : scene.patience) * 1000;
  if ('rewrite' in raw) return rewrite(scene, raw.rewrite);
  if ('remove' in raw) return remove(scene, raw.took, ms);
  if ('never' in raw) return never(scene, raw.never * 1000);
  if ('steady' in raw) return steady(scene, raw);
  await eventually(ms, async () => look(scene, fillIn(raw, await wordsOf(scene))));
}

async function wordsOf(scene: Scene): Promise<Record<string, string>> {
  const pod = (await podOf(scene)) ?? scene.seen;
  return {
    ...scene.words,
    node: pod?.spec.nodeName ?? '',
    uid: pod?.metadata.uid ?? '',
    ip: pod?.status?.podIP ?? '',
  };
}

/** Looks once. @returns what differs. */
async function look(scene: Scene, step: Step): Promise<string[]> {
  if ('file' in step) return lookAtFile(scene, step);
  if ('get' in step) return lookAtUrl(step);
  const pod = await podOf(scene);
  if ('events' in step) return lookAtEvents(scene, step.events);
  if (pod === undefined) return ['the kubelet has no such pod'];
  if ('until' in step) return differences(step.until, viewOf(pod));
  if ('order' in step) return lookAtOrder(scene, pod, step.order);
  if ('logs' in step) {
    const query = {
      ...(step.previous === true && { previous: 'true' }),
      ...(step.tail !== undefined && { tailLines: String(step.tail) }),
    };
    return textDifferences(step, await scene.kubelet.logs(pod, step.logs, query), `the log of ${step.logs}`);
  }
  if (!('exec' in step)) throw new Error(`no such step: ${JSON.stringify(step)}`);
  const command = typeof step.exec === 'string' ? ['sh', '-c', step.exec] : step.exec;
  const { stdout, stderr, exitCode } = await scene.kubelet.exec(pod, step.in, command);
  return [
    ...differences(
      step.exitCode ?? 0,
      exitCode,
      `the exit code of ${JSON.stringify(step.exec)} (${stderr.trim()})`,
    ),
    ...textDifferences(step, stdout, `what ${JSON.stringify(step.exec)} says`),
  ];
}

/** Looks until nothing differs. Failures of the looking itself (no log yet) count as differences. */
async function eventually(ms: number, check: () => Promise<string[]>): Promise<void> {
  const end = performance.now() + ms;
  for (;;) {
    const differing = await check().catch((error: unknown) => [String(error)]);
    if (differing.length === 0) return;
    if (performance.now() > end)
      throw new Error(`not within ${ms / 1000} s:\n    ${differing.join('\n    ')}`);
    await sleep(150);
  }
}

function lookAtFile({ directory }: Scene, step: Extract<Step, { file: string }>): string[] {
  const path = join(directory, step.file);
  if (step.gone === true) return existsSync(path) ? [`the file ${step.file} is there`] : [];
  return textDifferences(step, readFileSync(path, 'utf8'), `the file ${step.file}`);
}

async function lookAtUrl(step: Extract<Step, { get: string }>): Promise<string[]> {
  const response = await fetch(step.get, { signal: AbortSignal.timeout(3000) });
  const text = await response.text();
  return [
    ...differences(step.status ?? 200, response.status, `the status of ${step.get}`),
    ...textDifferences(step, text, `the answer of ${step.get}`),
  ];
}

/** The wanted events must come in this order; others may lie between. */
function lookAtEvents(scene: Scene, wanted: Extract<Step, { events: unknown }>['events']): string[] {
  if (scene.events === undefined) return [];
  const { namespace, name } = scene.seen?.metadata ?? {};
  const own = scene.events().filter((event) => event.name === name && event.namespace === namespace);
  let at = 0;
  for (const each of wanted) {
    const [reason, pattern = ''] = typeof each === 'string' ? [each] : each;
    const fits = (event: PodEvent) => event.reason === reason && new RegExp(pattern).test(event.message);
    const found = own.findIndex((event, index) => index >= at && fits(event));
    if (found < 0) {
      const seen = own.map((event) => `${event.reason} (${event.message})`).join('; ');
      return [`no event ${reason} /${pattern}/ after the ${at} that were found; events: ${seen}`];
    }
    at = found + 1;
  }
  return [];
}

/** Times of log lines have nanoseconds and one form, so they compare as text. */
async function lookAtOrder(
  { kubelet }: Scene,
  pod: Pod,
  wanted: readonly (readonly [string, string])[],
): Promise<string[]> {
  const times: string[] = [];
  for (const [container, pattern] of wanted) {
    const lines = (await kubelet.logs(pod, container, { timestamps: 'true' })).split('\n');
    const line = lines.find((each) => new RegExp(pattern).test(each.slice(each.indexOf(' ') + 1)));
    if (line === undefined) return [`no line /${pattern}/ in the log of ${container}`];
    times.push(line.slice(0, line.indexOf(' ')));
  }
  const late = times.findIndex((time, at) => at > 0 && Date.parse(time) < Date.parse(times[at - 1] ?? ''));
  return late < 0 ? [] : [`${wanted[late]} came before ${wanted[late - 1]}: ${times}`];
}

async function steady(scene: Scene, step: Extract<Step, { steady: unknown }>): Promise<void> {
  const end = performance.now() + step.for * 1000;
  while (performance.now() < end) {
    const pod = await podOf(scene);
    const differing =
      pod === undefined
        ? ['the kubelet has no such pod']
        : differences(fillIn(step.steady, await wordsOf(scene)), viewOf(pod));
    if (differing.length > 0) throw new Error(`did not stay so:\n    ${differing.join('\n    ')}`);
    await sleep(200);
  }
}

function rewrite(scene: Scene, words: Readonly<Record<string, string>>): void {
  let text = scene.text();
  for (const [from, to] of Object.entries(words)) {
    if (!text.includes(from)) throw new Error(`"${from}" is not in the manifest`);
    text = text.replaceAll(from, to);
  }
  scene.write(text);
}

async function remove(scene: Scene, took: string | undefined, ms: number): Promise<void> {
  // The original's list of running pods is up to two seconds old: only what it showed can be seen to leave it.
  if (took !== undefined)
    await eventually(ms, async () => ((await stillRuns(scene)) ? [] : ['the pod does not run']));
  const start = performance.now();
  for (const other of Object.keys(scene.podCase.others)) scene.unlink(other);
  scene.unlink();
  for (const each of [scene, ...scene.others.values()])
    await eventually(ms, async () => {
      if ((await podOf(each)) !== undefined) return ['the kubelet still has the pod'];
      return (await stillRuns(each)) ? ['the pod still runs'] : [];
    });
  const seconds = (performance.now() - start) / 1000;
  const differing = took === undefined ? [] : differences(took, seconds, 'the seconds until it was gone');
  if (differing.length > 0) throw new Error(differing.join('\n'));
}

async function never(scene: Scene, ms: number): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; await sleep(200)) {
    const pod = await podOf(scene);
    if (pod !== undefined) throw new Error(`the pod is there: ${JSON.stringify(pod.status)}`);
  }
}
