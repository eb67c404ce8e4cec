/**
 * YAML configuration against one schema: parsed once, unknown keys and wrong values refused with file, line and
 * column, all of them at once.
 */
import { isMap, isNode, isPair, isScalar, LineCounter, type ParsedNode, parseDocument } from 'yaml';
import type { z } from 'zod';
import { SkiffError } from './errors.ts';

/**
 * Parses `text` against `schema`.
 *
 * @param file the name for messages.
 * @throws SkiffError INVALID_ARGUMENT with one line per problem: `FILE:LINE:COLUMN: PATH: REASON`.
 */
export function parseConfig<T extends z.ZodType>(schema: T, text: string, file: string): z.infer<T> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw problemsError(document.errors.map((error) => `${at(error.pos[0])}: ${error.message}`));
  }
  const value: unknown = document.toJS({ maxAliasCount: 50 }) ?? {};
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) => {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    return keys.map((key) => {
      const path = key === undefined ? issue.path : [...issue.path, key];
      const offset = offsetOf(document.contents, path, key !== undefined);
      const reason = key === undefined ? issue.message : 'unknown key';
      return `${at(offset)}: ${path.join('.') || '(whole file)'}: ${reason}`;
    });
  });
  throw problemsError(problems);
}

function problemsError(problems: string[]): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', problems.join('\n'));
}

/** Where a path stands in the text: its key if `wantKey`, else its value; the nearest parent if it is absent. */
function offsetOf(root: ParsedNode | null, path: readonly PropertyKey[], wantKey: boolean): number {
  let node: unknown = root;
  let offset = root?.range[0] ?? 0;
  path.forEach((step, index) => {
    if (!isMap(node)) {
      node = isNode(node) && 'items' in node ? (node.items as unknown[])[Number(step)] : undefined;
    } else {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === step);
      const key = pair?.key;
      if (wantKey && index === path.length - 1 && isNode(key) && key.range) offset = key.range[0];
      node = pair?.value;
    }
    if (isNode(node) && node.range && !(wantKey && index === path.length - 1)) offset = node.range[0];
  });
  return offset;
}
