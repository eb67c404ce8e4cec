/** Runs cases against a kubelet, many at once: writes their manifests, does their steps, takes them away again. */
import { chmodSync, mkdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { freePort } from '#foundation/base/free-port.ts';
import { type Facility, fillIn, type PodCase } from './case.ts';
import type { PodEvent } from './event-log.ts';
import type { KubeletClient } from './kubelet-client.ts';
import { doStep, podOf, type Scene } from './steps.ts';

/** What cases run on. */
export interface Stage {
  kubelet: KubeletClient;
  /** The directory that the kubelet reads manifests from. */
  manifests: string;
  /** A directory of the host for the cases' files. */
  files: string;
  /** `127.0.0.1:PORT` of the registry with the images. */
  registry: string;
  /** The kubelet's events until now; cases that need them are left out without. */
  events?: () => readonly PodEvent[];
  /** What node and runtime have. */
  facilities: ReadonlySet<Facility>;
  /** `spec.runtimeClassName` of every pod. */
  runtimeClass?: string;
  /** Seconds that a step may take unless it says so. */
  patience: number;
}

/** How a case went. */
export interface Verdict {
  podCase: PodCase;
  /** Undefined if all was seen as wanted. */
  failure?: string;
  /** The facilities that are missing; then the case did not run. */
  missing: Facility[];
  seconds: number;
}

/** Lists of pods are shared by the cases, and this old at most, in milliseconds. */
const listAge = 100;

/** A function that asks for a list, seldom. */
function shared(ask: () => Promise<readonly Pod[]>): () => Promise<readonly Pod[]> {
  let asked = Number.NEGATIVE_INFINITY;
  let answer: Promise<readonly Pod[]> = Promise.resolve([]);
  return () => {
    if (performance.now() - asked > listAge) {
      asked = performance.now();
      answer = ask();
    }
    return answer;
  };
}

type Lists = Pick<Scene, 'pods' | 'runningPods'>;

/** Runs one case, to its end and the end of its pod. */
async function runCase(stage: Stage, lists: Lists, podCase: PodCase): Promise<Verdict> {
  const missing = podCase.needs.filter((each) => !stage.facilities.has(each));
  if (missing.length > 0) return { podCase, missing, seconds: 0 };
  const start = performance.now();
  const scene = await sceneOf(stage, lists, podCase);
  let failure: string | undefined;
  let at = 0;
  try {
    scene.write(fillIn(podCase.manifest, scene.words));
    for (const step of podCase.steps) {
      at += 1;
      await doStep(scene, step);
    }
    await doStep(scene, { remove: true });
  } catch (error) {
    const status = JSON.stringify((await podOf(scene).catch(() => undefined))?.status);
    failure = `step ${at} ${JSON.stringify(podCase.steps[at - 1])}: ${(error as Error).message}\n    status: ${status}`;
    for (const other of [undefined, ...Object.keys(podCase.others)]) scene.unlink(other);
  }
  return { podCase, missing, failure, seconds: (performance.now() - start) / 1000 };
}

async function sceneOf(stage: Stage, lists: Lists, podCase: PodCase): Promise<Scene> {
  const { registry, kubelet, events, manifests, patience } = stage;
  const directory = join(stage.files, podCase.name);
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o777);
  const path = (other = '') => join(manifests, `${podCase.name}${other === '' ? '' : `.${other}`}.yaml`);
  let written = '';
  return {
    podCase,
    kubelet,
    ...lists,
    events,
    directory,
    patience,
    words: {
      registry,
      image: `${registry}/pods/base:1`,
      dir: directory,
      port: String(await freePort()),
      ...namespaces(),
    },
    text: () => written,
    others: new Map(),
    write(text, other) {
      if (other === undefined) written = text;
      const partial = join(manifests, `.${podCase.name}.partial`);
      writeFileSync(partial, withRuntimeClass(text, stage.runtimeClass));
      renameSync(partial, path(other));
    },
    unlink: (other) => rmSync(path(other), { force: true }),
  };
}

/** `netns`, `ipcns`, `pidns`: the namespaces of this process, which are those of the host. */
function namespaces(): Record<string, string> {
  const names = ['net', 'ipc', 'pid'];
  return Object.fromEntries(names.map((name) => [`${name}ns`, readlinkSync(`/proc/self/ns/${name}`)]));
}

/** The manifest with another runtime class, as the first field of its spec. */
function withRuntimeClass(text: string, name: string | undefined): string {
  if (name === undefined) return text;
  // Nobody admits static pods, so they say for themselves what the class costs: RuntimeClass vm has it like this.
  const overhead = name === 'vm' ? '\n  overhead: { memory: 256Mi, cpu: 100m }' : '';
  return text.replace(/^spec:$/m, `spec:\n  runtimeClassName: ${name}${overhead}`);
}

/**
 * Runs cases, `atOnce` at a time.
 *
 * @param tell hears of each verdict as it comes.
 */
export async function runCases(
  stage: Stage,
  cases: readonly PodCase[],
  atOnce: number,
  tell: (verdict: Verdict) => void = () => {},
): Promise<Verdict[]> {
  const { kubelet } = stage;
  const lists = { pods: shared(() => kubelet.pods()), runningPods: shared(() => kubelet.runningPods()) };
  const waiting = [...cases];
  const verdicts: Verdict[] = [];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const verdict = await runCase(stage, lists, next);
      verdicts.push(verdict);
      tell(verdict);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return verdicts;
}
