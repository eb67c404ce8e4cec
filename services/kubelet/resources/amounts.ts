/** Quantities as the kubelet counts with them: thousandths of a CPU, and whole bytes or pieces. */
import { milliUnits, parseQuantity, quantity, wholeUnits } from '#contracts/kubernetes/quantity.ts';

/** Thousandths of a CPU, rounded up. @throws SkiffError INVALID_ARGUMENT for text that is no quantity. */
export function milliCpuOf(text: string | number): number {
  return Number(milliUnits(quantity(String(text))));
}

/** The whole number of a quantity, rounded up: bytes, devices, inodes. */
export function amountOf(text: string | number): number {
  return Number(wholeUnits(quantity(String(text))));
}

/** The quantity as a number, fractions kept: for comparing. */
export function exactOf(text: string | number): number {
  return parseQuantity(String(text));
}

/** Bytes as the API writes what it counted itself: `2Gi`, `1500Ki`, `1000`. */
export function bytesText(bytes: number): string {
  const units = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'];
  let power = 0;
  while (power < units.length - 1 && bytes > 0 && bytes % 1024 ** (power + 1) === 0) power += 1;
  return `${bytes / 1024 ** power}${units[power]}`;
}
