/**
 * The conformance suite of the CRI: a black box over the socket. `areas/` holds the rules, one file for each
 * area, each rule named by what must hold; `differences.ts` lists where a known runtime deliberately or by age
 * does otherwise. The suite needs a busybox on the host and serves its own images on loopback; the server must
 * see the host's file system. It is proven against Debian's containerd (`npm test -- conformance`).
 */
import { connectCri } from '#contracts/cri/client.ts';
import { areas } from './areas/index.ts';
import type { Session } from './context.ts';
import { startRegistry } from './images/registry.ts';
import { testImages } from './images/test-images.ts';
import { type Reporter, type Result, runRules } from './runner.ts';

export { textReporter } from './reporter.ts';
export type { Reporter, Result, Verdict } from './runner.ts';

/** What to run. */
export interface ConformanceOptions {
  /** `unix:///run/skiff/cri.sock`. */
  endpoint: string;
  /** Where the ImageService is, if elsewhere. */
  imageEndpoint?: string;
  /** Runs only rules whose `area: name` contains this text or matches this expression. */
  only?: string | RegExp;
  reporter?: Reporter;
  /** Rules at a time; 4 unless told. */
  concurrency?: number;
  /** The runtime handler to judge, as a RuntimeClass names it; the server's default unless told. */
  handler?: string;
  /** How many times as long as usual everything may take; 1 unless told. For machines and handlers that are slow. */
  patience?: number;
}

/** How the suite went. */
export interface ConformanceSummary {
  runtime: { name: string; version: string };
  results: Result[];
  passed: number;
  failed: number;
  skipped: number;
  /** Failures that the table of differences explains. */
  differs: number;
}

/**
 * Runs the suite.
 *
 * @throws SkiffError if the server does not answer or cannot pull the test images; failing rules are results.
 */
export async function runConformance(options: ConformanceOptions): Promise<ConformanceSummary> {
  using runtimeClient = connectCri(options.endpoint);
  using imageClient = connectCri(options.imageEndpoint ?? options.endpoint);
  await using registry = await startRegistry();
  const cri = { ...runtimeClient, images: imageClient.images };
  const { runtimeName: name, runtimeVersion: version } = await cri.runtime.version({});
  const images: Record<string, string> = {};
  for (const [image, built] of Object.entries(testImages())) {
    images[image] = registry.publish(`conformance/${image}:1`, built);
    await cri.images.pullImage({ image: { image: images[image] } }, { timeoutMs: 120_000 });
  }
  const { handler = '', patience = 1 } = options;
  const session: Session = { cri, registry, images, runtime: { name, version }, handler, patience };
  const rules = areas.filter((rule) => matches(`${rule.area}: ${rule.name}`, options.only));
  const results = await runRules(rules, session, options.reporter ?? (() => {}), options.concurrency ?? 4);
  for (const image of Object.values(images)) {
    await cri.images.removeImage({ image: { image } }).catch(() => {}); // A failed rule may still use it.
  }
  const count = (kind: string) => results.filter((each) => each.verdict.kind === kind).length;
  return {
    runtime: session.runtime,
    results,
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    differs: count('differs'),
  };
}

function matches(text: string, only: string | RegExp | undefined): boolean {
  if (only === undefined) return true;
  return typeof only === 'string' ? text.includes(only) : only.test(text);
}
