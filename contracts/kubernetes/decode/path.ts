/** Paths to fields: as steps, and as text (`spec.containers[0].image`, `metadata.labels[a.b/c]`). */

/** The steps from the top of an object to a field. */
export type FieldPath = readonly (string | number)[];

/** The text of a path as the original's messages have it. */
export function formatPath(path: FieldPath): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[A-Za-z_$][\w$-]*$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${step}]`;
  }
  return text;
}

/** Reads the text of a path; `[...]` holds an index or a key. */
export function parsePath(text: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const match of text.matchAll(/\[([^\]]*)\]|([^.[\]]+)/g)) {
    const [, bracketed, plain] = match;
    if (plain !== undefined) steps.push(plain);
    else steps.push(/^\d+$/.test(bracketed ?? '') ? Number(bracketed) : (bracketed ?? ''));
  }
  return steps;
}
