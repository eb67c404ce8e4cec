/**
 * What templates of CNI configuration use of Go's text/template (https://pkg.go.dev/text/template): fields and
 * variables, `range` over a list, `if` with `else`, comments, trimming. Templates written for containerd work.
 */
import { messageOf, SkiffError } from '#foundation/base/errors.ts';

/** What a template's fields hold. */
export type TemplateData = Readonly<Record<string, string | readonly string[]>>;

type Node =
  | { kind: 'text'; text: string }
  | { kind: 'value'; of: string }
  | { kind: 'if'; of: string; body: Node[]; otherwise: Node[] }
  | { kind: 'range'; index?: string; item?: string; of: string; body: Node[]; otherwise: Node[] };

type Value = string | number | readonly string[] | TemplateData;

/** What `.`, `$` and the variables stand for. */
interface Scope {
  dot: Value;
  root: TemplateData;
  variables: ReadonlyMap<string, Value>;
}

/**
 * Fills a template.
 *
 * @throws SkiffError INVALID_ARGUMENT naming the action that is not understood or the field that there is not.
 */
export function fillTemplate(template: string, data: TemplateData): string {
  try {
    const tokens = tokensOf(template);
    const { nodes, end } = parse(tokens, 0, false);
    if (end < tokens.length) throw new Error(`{{${tokens[end]?.text}}} without a beginning`);
    return render(nodes, { dot: data, root: data, variables: new Map() });
  } catch (error) {
    throw new SkiffError('INVALID_ARGUMENT', messageOf(error), { cause: error });
  }
}

interface Token {
  action: boolean;
  text: string;
}

function tokensOf(template: string): Token[] {
  const tokens: Token[] = [];
  // A minus and a space at an action's edge take white space away there.
  const trimmed = template.replace(/\s*\{\{- /g, '{{').replace(/ -\}\}\s*/g, '}}');
  let at = 0;
  for (const match of trimmed.matchAll(/\{\{(.*?)\}\}/gs)) {
    tokens.push({ action: false, text: trimmed.slice(at, match.index) });
    const text = (match[1] ?? '').trim();
    if (!text.startsWith('/*')) tokens.push({ action: true, text });
    at = match.index + match[0].length;
  }
  return [...tokens, { action: false, text: trimmed.slice(at) }];
}

/** Reads up to an `end` or `else` of the block that it is in; `end` is that token's place. */
function parse(tokens: readonly Token[], start: number, inside: boolean): { nodes: Node[]; end: number } {
  const nodes: Node[] = [];
  let at = start;
  for (; at < tokens.length; at += 1) {
    const { action, text } = tokens[at] ?? { action: false, text: '' };
    const [word = ''] = text.split(/\s/);
    if (!action) nodes.push({ kind: 'text', text });
    else if (word === 'end' || word === 'else') return { nodes, end: at };
    else if (word === 'if' || word === 'range') {
      const { node, end } = parseBlock(tokens, at);
      nodes.push(node);
      at = end;
    } else nodes.push({ kind: 'value', of: text });
  }
  if (inside) throw new Error('{{if}} or {{range}} without {{end}}');
  return { nodes, end: at };
}

function parseBlock(tokens: readonly Token[], at: number): { node: Node; end: number } {
  const head = tokens[at]?.text ?? '';
  const then = parse(tokens, at + 1, true);
  const other =
    tokens[then.end]?.text === 'else' ? parse(tokens, then.end + 1, true) : { nodes: [], end: then.end };
  if (tokens[other.end]?.text !== 'end') throw new Error(`{{${tokens[other.end]?.text}}} is not understood`);
  const bodies = { body: then.nodes, otherwise: other.nodes };
  const condition = /^if\s+(\S+)$/.exec(head);
  if (condition !== null) return { node: { kind: 'if', of: condition[1] ?? '', ...bodies }, end: other.end };
  const [, first, second, of] = /^range\s+(?:(?:(\$\w+)\s*,\s*)?(\$\w+)\s*:=\s*)?(\S+)$/.exec(head) ?? [];
  if (of === undefined) throw new Error(`{{${head}}} is not understood`);
  return { node: { kind: 'range', index: first, item: second, of, ...bodies }, end: other.end };
}

function render(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => renderOne(node, scope)).join('');
}

function renderOne(node: Node, scope: Scope): string {
  if (node.kind === 'text') return node.text;
  const value = lookUp(node.of, scope);
  if (node.kind === 'value') {
    if (typeof value === 'object') throw new Error(`{{${node.of}}} is no text`);
    return String(value);
  }
  if (node.kind === 'if') return render(isTrue(value) ? node.body : node.otherwise, scope);
  if (!Array.isArray(value)) throw new Error(`{{range}} over ${node.of}, which is no list`);
  if (value.length === 0) return render(node.otherwise, scope);
  return value
    .map((dot: string, index) => {
      const variables = new Map(scope.variables);
      if (node.index !== undefined) variables.set(node.index, index);
      if (node.item !== undefined) variables.set(node.item, dot);
      return render(node.body, { ...scope, dot, variables });
    })
    .join('');
}

/** Empty is false: 0, "", a list without elements. */
function isTrue(value: Value): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== '' && value !== 0;
}

function lookUp(name: string, { dot, root, variables }: Scope): Value {
  if (name === '.') return dot;
  const variable = variables.get(name);
  if (variable !== undefined) return variable;
  const [, dollar, field] = /^(\$?)\.(\w+)$/.exec(name) ?? [];
  const holder = dollar === '$' ? root : dot;
  const value =
    field === undefined || typeof holder !== 'object' || Array.isArray(holder)
      ? undefined
      : (holder as TemplateData)[field];
  if (value === undefined) throw new Error(`{{${name}}} is not understood`);
  return value;
}
