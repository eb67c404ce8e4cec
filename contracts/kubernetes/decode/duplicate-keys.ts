/** Finds keys that stand twice in one JSON object: JSON.parse keeps the last in silence. */
import type { FieldPath } from './path.ts';

/** More than anybody reads. */
const maxFound = 20;

interface Level {
  /** Undefined for arrays. */
  keys: Set<string> | undefined;
  step: string | number;
}

/** The paths of double keys in a text that is valid JSON. */
export function duplicateKeys(text: string): FieldPath[] {
  const found: FieldPath[] = [];
  const stack: Level[] = [];
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;
  let last = '';
  for (let match = tokens.exec(text); match !== null && found.length < maxFound; match = tokens.exec(text)) {
    const token = match[0];
    const top = stack.at(-1);
    if (token === '{') stack.push({ keys: new Set(), step: '' });
    else if (token === '[') stack.push({ keys: undefined, step: 0 });
    else if (token === '}' || token === ']') stack.pop();
    else if (token === ',' && typeof top?.step === 'number') top.step += 1;
    else if (token === ':' && top?.keys !== undefined) {
      const key = JSON.parse(last) as string;
      top.step = key;
      if (top.keys.has(key)) found.push(stack.map((level) => level.step));
      top.keys.add(key);
    }
    last = token;
  }
  return found;
}
