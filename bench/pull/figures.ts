/** Small arithmetic of the bench. */

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

export function ratio(theirs: number, ours: number): string {
  return `${(theirs / ours).toFixed(2)}x`;
}
