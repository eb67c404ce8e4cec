/** Quantities as the kubelet counts with them: thousandths of a CPU, and whole bytes or pieces. */
import { parseQuantity } from '#contracts/kubernetes/quantity.ts';

/** Thousandths of a CPU, rounded up. @throws SkiffError INVALID_ARGUMENT for text that is no quantity. */
export function milliCpuOf(quantity: string | number): number {
  return Math.ceil(Number((parseQuantity(String(quantity)) * 1000).toFixed(6)));
}

/** The whole number of a quantity, rounded up: bytes, devices, inodes. */
export function amountOf(quantity: string | number): number {
  return Math.ceil(Number(parseQuantity(String(quantity))));
}

/** The quantity as a number, fractions kept: for comparing. */
export function exactOf(quantity: string | number): number {
  return Number(parseQuantity(String(quantity)));
}
