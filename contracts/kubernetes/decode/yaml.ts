/**
 * YAML and JSON text into plain values that know their lines. YAML is read as Kubernetes reads it, by version 1.1
 * (`0644` is octal, `yes` is true), without its dates and base-60 numbers.
 * https://yaml.org/spec/1.1/ and sigs.k8s.io/yaml
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type Tags,
} from 'yaml';
import { messageOf } from '#foundation/base/errors.ts';
import type { FieldPath } from './path.ts';

/** A place in a text, both counted from 1. */
export interface Position {
  line: number;
  column: number;
}

/** One document. */
export interface ParsedDocument {
  value: unknown;
  /** The place of a field, or of the nearest one above it that is written down. */
  locate(path: FieldPath): Position;
}

/** Why a text is no YAML. */
export interface SyntaxProblem extends Position {
  reason: string;
  /** Who is not strict may go on: of a key that stands twice the last one counts. */
  passable: boolean;
}

/** Bytes of text; the API server takes 3 MiB, the original kubelet 10. */
const maxText = 10 * 1024 * 1024;
/** How many nodes aliases may expand to for each alias: enough for anchors, too few for a bomb. */
const maxAliasCount = 100;

const ignoredTags = new Set([
  'tag:yaml.org,2002:timestamp',
  'tag:yaml.org,2002:binary',
  'tag:yaml.org,2002:omap',
  'tag:yaml.org,2002:pairs',
  'tag:yaml.org,2002:set',
]);

/** YAML 1.1's tags without times, base-60 numbers and collections that JSON does not have. */
function kubernetesTags(tags: Tags): Tags {
  return tags.filter(
    (tag) =>
      typeof tag === 'string' || !(ignoredTags.has(tag.tag) || ('format' in tag && tag.format === 'TIME')),
  );
}

/** Reads all documents of a text; empty ones are left out. @param onlyFirst passes over those after the first. */
export function parseDocuments(
  text: string,
  onlyFirst = false,
): { documents: ParsedDocument[]; problems: SyntaxProblem[] } {
  if (Buffer.byteLength(text) > maxText)
    return {
      documents: [],
      problems: [{ line: 1, column: 1, reason: `larger than ${maxText / 1024 / 1024} MiB`, passable: false }],
    };
  try {
    return parseYaml(text, onlyFirst);
  } catch (error) {
    const reason = error instanceof RangeError ? 'nested too deep' : messageOf(error);
    return { documents: [], problems: [{ line: 1, column: 1, reason, passable: false }] };
  }
}

function parseYaml(
  text: string,
  onlyFirst: boolean,
): { documents: ParsedDocument[]; problems: SyntaxProblem[] } {
  const counter = new LineCounter();
  const options = { version: '1.1', customTags: kubernetesTags, lineCounter: counter, merge: true } as const;
  const parsed = parseAllDocuments(text, {
    ...options,
    uniqueKeys: true,
    logLevel: 'silent',
    prettyErrors: false,
  });
  const list = Array.isArray(parsed) ? (parsed as Document.Parsed[]) : [];
  const documents: ParsedDocument[] = [];
  const problems: SyntaxProblem[] = [];
  for (const [at, document] of list.entries()) {
    if (onlyFirst && at > 0) {
      const start = position(counter, document.range?.[0] ?? 0);
      problems.push({ ...start, reason: 'another document; only the first counts', passable: true });
      continue;
    }
    for (const { code, message, pos } of document.errors) {
      const passable = code === 'DUPLICATE_KEY';
      problems.push({ ...position(counter, pos[0]), reason: wording(code, message), passable });
    }
    if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) continue;
    try {
      const value: unknown = document.toJS({ maxAliasCount });
      if (value === null || value === undefined) continue;
      documents.push({ value, locate: (path) => locate(document, counter, path) });
    } catch (error) {
      const start = position(counter, document.range?.[0] ?? 0);
      problems.push({ ...start, reason: aliasWording(messageOf(error)), passable: false });
    }
  }
  return { documents, problems };
}

function position(counter: LineCounter, offset: number): Position {
  const { line, col } = counter.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

function wording(code: string, message: string): string {
  if (code === 'TAB_AS_INDENT') return 'a tab indents this line; YAML wants spaces';
  if (code === 'DUPLICATE_KEY') return 'this key is already set above in the same mapping';
  return message.split('\n')[0] ?? message;
}

function aliasWording(message: string): string {
  return message.startsWith('Excessive alias count') ? 'its aliases expand to too much' : message;
}

function locate(document: Document.Parsed, counter: LineCounter, path: FieldPath): Position {
  let node: Node | null | undefined = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    const found = child(node, step);
    if (found === undefined) break;
    offset = found.offset;
    node = found.node;
  }
  return position(counter, offset);
}

function child(node: unknown, step: string | number): { node: Node | undefined; offset: number } | undefined {
  if (isSeq(node)) {
    const item = node.items[Number(step)] as Node | undefined;
    return item?.range ? { node: item, offset: item.range[0] } : undefined;
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find((each) => isScalar(each.key) && String(each.key.value) === String(step));
  const key = pair?.key as Node | undefined;
  return key?.range
    ? { node: (pair?.value ?? undefined) as Node | undefined, offset: key.range[0] }
    : undefined;
}
