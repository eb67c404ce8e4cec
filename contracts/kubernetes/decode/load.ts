/** Reads manifest files for `skiff up`: decodes, checks and compares them, with every problem at its line. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { applyDefaults } from '../defaults/defaults.ts';
import type { KubeObject } from '../types.ts';
import { validateCreate } from '../validation/validate.ts';
import { decodeManifests, formatProblem, type ManifestObject, type Manifests } from './manifest.ts';
import { formatPath, parsePath } from './path.ts';

/** Problems that are told at once; more are counted. */
const shownProblems = 20;

/**
 * Reads files, folders (their *.yaml, *.yml and *.json, sorted) and `-` for standard input.
 *
 * The objects are as written, without defaults. Two of one kind, namespace and name are a problem.
 */
export function loadManifests(files: readonly string[]): Manifests {
  const result: Manifests = { objects: [], problems: [] };
  for (const file of files.flatMap((each) => expand(each, result))) {
    const text = read(file, result);
    if (text === undefined) continue;
    const { objects, problems } = decodeManifests(text, file === '-' ? 'stdin' : file);
    if (objects.length === 0 && problems.length === 0)
      result.problems.push({ file, line: 1, column: 1, field: '', reason: 'it holds no object' });
    result.problems.push(...problems);
    result.objects.push(...objects);
  }
  for (const each of result.objects) result.problems.push(...checkObject(each));
  findDoubles(result);
  return result;
}

function expand(file: string, result: Manifests): string[] {
  if (file === '-') return [file];
  try {
    if (!statSync(file).isDirectory()) return [file];
    const names = readdirSync(file).filter((name) => /\.(ya?ml|json)$/.test(name));
    return names.sort().map((name) => join(file, name));
  } catch (error) {
    result.problems.push({ file, line: 1, column: 1, field: '', reason: messageOf(error) });
    return [];
  }
}

function read(file: string, result: Manifests): string | undefined {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    result.problems.push({ file, line: 1, column: 1, field: '', reason: messageOf(error) });
    return undefined;
  }
}

/** What the API's validation would say, at the lines where it is written. */
function checkObject({ object, kind, file, locate }: ManifestObject) {
  const complete = structuredClone(object);
  if (kind.namespaced) complete.metadata.namespace ??= 'default';
  applyDefaults(kind, complete);
  return validateCreate(kind, complete).map((problem) => ({
    ...locate(parsePath(problem.field)),
    file,
    field: problem.field,
    reason: problem.reason,
  }));
}

function findDoubles({ objects, problems }: Manifests): void {
  const first = new Map<string, ManifestObject>();
  for (const each of objects) {
    const { name, namespace = 'default' } = each.object.metadata;
    if (name === undefined) continue;
    const key = [each.kind.group, each.kind.kind, each.kind.namespaced ? namespace : '', name].join('/');
    const before = first.get(key);
    if (before === undefined) {
      first.set(key, each);
      continue;
    }
    const path = ['metadata', 'name'];
    const reason = `a second ${each.kind.kind} "${name}"; the first is at ${before.file}:${before.locate(path).line}`;
    problems.push({ ...each.locate(path), file: each.file, field: formatPath(path), reason });
  }
}

/**
 * Reads a text that holds exactly one object of one kind: the kubelet's static pods.
 *
 * @throws SkiffError INVALID_ARGUMENT with all problems and their lines.
 */
export function decodeOne<T extends KubeObject>(text: string, file: string, kind: string): T {
  const { objects, problems } = decodeManifests(text, file);
  if (problems.length > 0) throw problemsError(problems);
  const [first] = objects;
  if (objects.length !== 1 || first?.kind.kind !== kind) {
    const found = objects.map((each) => each.kind.kind).join(', ') || 'nothing';
    throw new SkiffError('INVALID_ARGUMENT', `${file}: expected one ${kind}, found ${found}`);
  }
  return first.object as T;
}

/** One error that tells all problems, a line each. */
export function problemsError(problems: Manifests['problems']): SkiffError {
  const lines = problems.slice(0, shownProblems).map(formatProblem);
  if (problems.length > shownProblems) lines.push(`and ${problems.length - shownProblems} more`);
  return new SkiffError('INVALID_ARGUMENT', lines.join('\n'));
}
