/** Kubernetes quantities (`10M`, `1.5Gi`, `500k`), as far as bandwidth annotations use them. */

const suffixes: Record<string, number> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** The number that a quantity stands for; undefined if it is none. */
export function parseQuantity(text: string): number | undefined {
  const match = /^(\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+|[kMGTP]i?|Ki)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const [, number = '', suffix = ''] = match;
  if (/^e/i.test(suffix)) return Number(number + suffix);
  const factor = suffixes[suffix];
  return factor === undefined ? undefined : Number(number) * factor;
}
