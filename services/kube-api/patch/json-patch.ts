/** JSON Patch (RFC 6902). */
import { isDeepStrictEqual } from 'node:util';
import { SkiffError } from '#foundation/base/errors.ts';

/** Operations in one patch; as the original's limit. */
const maxOperations = 10_000;

interface Operation {
  op: string;
  path: string;
  from?: string;
  value?: unknown;
}

type Container = Record<string, unknown> | unknown[];

/** The patched document. @throws SkiffError INVALID_ARGUMENT if an operation cannot be done; FAILED_PRECONDITION for `test`. */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw bad('a JSON patch is a list of operations');
  if (patch.length > maxOperations)
    throw bad(`the patch has ${patch.length} operations, more than the ${maxOperations} allowed`);
  let root = structuredClone(document);
  for (const [at, each] of patch.entries()) {
    const operation = each as Operation | null;
    if (typeof operation !== 'object' || operation === null || typeof operation.path !== 'string')
      throw bad(`operation ${at} is no object with op and path`);
    root = applyOne(root, operation);
  }
  return root;
}

function bad(reason: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', reason);
}

function applyOne(root: unknown, operation: Operation): unknown {
  const { op, path, from = '' } = operation;
  switch (op) {
    case 'add':
      return put(root, path, required(operation), true);
    case 'replace':
      read(root, path, op);
      return put(root, path, required(operation), false);
    case 'remove':
      return take(root, path, op);
    case 'move': {
      if (`${path}/`.startsWith(`${from}/`) && path !== from) throw bad(`cannot move ${from} into itself`);
      const value = read(root, from, op);
      return put(take(root, from, op), path, value, true);
    }
    case 'copy':
      return put(root, path, structuredClone(read(root, from, op)), true);
    case 'test':
      if (isDeepStrictEqual(tryRead(root, path), required(operation))) return root;
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `testing path ${path} failed: the value is not as expected`,
      );
    default:
      throw bad(`unexpected kind: ${JSON.stringify(op)} is no operation of JSON Patch`);
  }
}

function required(operation: Operation): unknown {
  if (!('value' in operation)) throw bad(`${operation.op} operation of ${operation.path} has no value`);
  return operation.value;
}

function stepsOf(pointer: string): string[] {
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) throw bad(`the path ${JSON.stringify(pointer)} does not begin with /`);
  return pointer
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function child(node: unknown, step: string): { found: boolean; value: unknown } {
  if (Array.isArray(node)) {
    const at = /^(0|[1-9]\d*)$/.test(step) ? Number(step) : -1;
    return { found: at >= 0 && at < node.length, value: node[at] };
  }
  if (typeof node !== 'object' || node === null || !Object.hasOwn(node, step))
    return { found: false, value: undefined };
  return { found: true, value: (node as Record<string, unknown>)[step] };
}

function read(root: unknown, pointer: string, op: string): unknown {
  let node = root;
  for (const step of stepsOf(pointer)) {
    const { found, value } = child(node, step);
    if (!found) throw bad(`${op} operation does not apply: doc is missing path: ${pointer}: missing value`);
    node = value;
  }
  return node;
}

function tryRead(root: unknown, pointer: string): unknown {
  let node = root;
  for (const step of stepsOf(pointer)) node = child(node, step).value;
  return node;
}

function parentOf(root: unknown, pointer: string, op: string): { parent: Container; step: string } {
  const steps = stepsOf(pointer);
  const step = steps.pop() ?? '';
  const place = steps.length === 0 ? '' : pointer.slice(0, pointer.lastIndexOf('/'));
  const parent = read(root, place, op);
  if (typeof parent !== 'object' || parent === null)
    throw bad(`${op} operation does not apply: ${place || 'the document'} is no object or list`);
  return { parent: parent as Container, step };
}

function put(root: unknown, pointer: string, value: unknown, insert: boolean): unknown {
  if (pointer === '') return value;
  const { parent, step } = parentOf(root, pointer, insert ? 'add' : 'replace');
  if (!Array.isArray(parent)) {
    Object.defineProperty(parent, step, { value, enumerable: true, configurable: true, writable: true });
    return root;
  }
  const at = step === '-' ? parent.length : /^(0|[1-9]\d*)$/.test(step) ? Number(step) : -1;
  if (at < 0 || at > parent.length) throw bad(`add operation does not apply: ${pointer}: invalid index`);
  parent.splice(at, insert ? 0 : 1, value);
  return root;
}

function take(root: unknown, pointer: string, op: string): unknown {
  if (pointer === '') return null;
  read(root, pointer, op);
  const { parent, step } = parentOf(root, pointer, op);
  if (Array.isArray(parent)) parent.splice(Number(step), 1);
  else delete parent[step];
  return root;
}
