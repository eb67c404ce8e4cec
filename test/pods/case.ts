/**
 * A case is one file of two parts: a manifest as a person writes it, and, after a line `---`, what must be seen.
 *
 * ```yaml
 * apiVersion: v1
 * kind: Pod
 * metadata: { name: restart-never }
 * spec:
 *   restartPolicy: Never
 *   containers: [{ name: main, image: '{{image}}', command: [sh, -c, 'exit 3'] }]
 * ---
 * shows: A pod whose container fails and may not restart has failed
 * steps:
 * - until: { phase: Failed, containers: { main: { state: terminated, exitCode: 3, reason: Error, restarts: 0 } } }
 * ```
 *
 * The manifest is text, so that it may also be broken. `{{image}}`, `{{registry}}`, `{{port}}` (a free one of
 * the host) and `{{dir}}` (a directory of the host that is the case's own) are filled in there and in the steps; steps also know `{{node}}`, `{{uid}}` and
 * `{{ip}}` of the pod, and `{{netns}}`, `{{ipcns}}`, `{{pidns}}` of the host. A case may have manifests of other pods (`others`), and steps that look at those (`of: NAME`). How values are compared stands in `match.ts`, what a pod looks like in `view.ts`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

/** What a case may need of node and runtime; those a run does not have are left out. */
export const facilities = [
  'shared-kernel',
  'host-files',
  'events',
  'user-namespaces',
  'image-volumes',
  'host-ports',
  'strict-groups',
  'no-app-armor',
  'static-runtime-class',
  'projected-without-api',
] as const;
export type Facility = (typeof facilities)[number];

const seconds = z.number().positive();
/** The name of another pod of the case that a step looks at. */
const of = z.string().optional();
const texts = { exactly: z.string().optional(), has: z.union([z.string(), z.array(z.string())]).optional() };
const view = z.record(z.string(), z.unknown());

/** Looks again until the pod looks like that. */
const until = z.strictObject({ until: view, within: seconds.optional(), of });
/** The pod looks like that all the time. */
const steady = z.strictObject({ steady: view, for: seconds, of });
/** Looks again until a container's log is like that. */
const logs = z.strictObject({
  logs: z.string(),
  previous: z.boolean().optional(),
  tail: z.number().optional(),
  within: seconds.optional(),
  of,
  ...texts,
});
/** Lines of containers, each later than the one before: `[container, pattern]`. */
const order = z.strictObject({
  order: z.array(z.tuple([z.string(), z.string()])),
  within: seconds.optional(),
});
/** Runs a command in a container until it gives what is wanted. */
const exec = z.strictObject({
  exec: z.union([z.string(), z.array(z.string())]),
  in: z.string(),
  exitCode: z.number().optional(),
  within: seconds.optional(),
  of,
  ...texts,
});
/** Asks a URL from the host. */
const get = z.strictObject({
  get: z.string(),
  status: z.number().optional(),
  within: seconds.optional(),
  ...texts,
});
/** A file of the case's directory; `gone` if there must be none. */
const file = z.strictObject({
  file: z.string(),
  gone: z.boolean().optional(),
  within: seconds.optional(),
  ...texts,
});
/** Events of the pod, in this order (others may lie between): a reason, or a reason with a pattern of its message. */
const events = z.strictObject({
  events: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  within: seconds.optional(),
  of,
});
/** Replaces words in the manifest and writes it again. */
const rewrite = z.strictObject({ rewrite: z.record(z.string(), z.string()) });
/** Takes the manifest away and waits until the pod is gone; `took` compares the seconds. */
const remove = z.strictObject({
  remove: z.literal(true),
  took: z.string().optional(),
  within: seconds.optional(),
});
/** No such pod comes about, for so many seconds. */
const never = z.strictObject({ never: seconds, of });
/** Writes another manifest of the case. */
const write = z.strictObject({ write: z.string() });
/** Takes another manifest away again. */
const unlink = z.strictObject({ unlink: z.string() });

const step = z.union([
  until,
  steady,
  logs,
  order,
  exec,
  get,
  file,
  events,
  rewrite,
  remove,
  never,
  write,
  unlink,
]);
export type Step = z.infer<typeof step>;

const second = z.strictObject({
  /** One sentence: the behaviour that the case shows. */
  shows: z.string(),
  needs: z.array(z.enum(facilities)).default([]),
  /** The pod's name without that of the node; the file's name unless told. */
  pod: z.string().optional(),
  namespace: z.string().default('default'),
  /** Manifests of other pods, by the names that the steps `write` and `unlink` call them. */
  others: z.record(z.string(), z.string()).default({}),
  steps: z.array(step).min(1),
});

/** One case. */
export interface PodCase extends z.infer<typeof second> {
  /** The file's name without its ending. */
  name: string;
  /** The manifest's text, with its marks. */
  manifest: string;
}

/** Where the cases are. */
export const casesDirectory = join(import.meta.dirname, 'cases');

/** Manifests that are no YAML stand in files that no tool takes for such. */
const ending = /\.yaml(\.txt)?$/;

/** Reads one case. @throws Error naming the file if it is none. */
function readCase(path: string): PodCase {
  const text = readFileSync(path, 'utf8');
  const cut = text.lastIndexOf('\n---\n');
  const name = basename(path).replace(ending, '');
  if (cut < 0) throw new Error(`${path}: no line "---" between the manifest and what must be seen`);
  const parsed = second.safeParse(parse(text.slice(cut + 5)));
  if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
  return { name, manifest: `${text.slice(0, cut)}\n`, ...parsed.data };
}

/** Reads all cases whose name contains `only`, sorted by name. */
export function readCases(only = '', directory = casesDirectory): PodCase[] {
  const names = readdirSync(directory).filter((name) => ending.test(name) && name.includes(only));
  return names.sort().map((name) => readCase(join(directory, name)));
}

/** Fills in `{{NAME}}` wherever it stands in strings of a value; unknown names stay. */
export function fillIn<T>(value: T, words: Readonly<Record<string, string>>): T {
  if (typeof value === 'string')
    return value.replace(/\{\{(\w+)\}\}/g, (whole, name: string) => words[name] ?? whole) as T;
  if (Array.isArray(value)) return value.map((each) => fillIn(each, words)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, fillIn(each, words)])) as T;
}
