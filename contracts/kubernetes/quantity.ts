/**
 * Quantities: `500m`, `1.5Gi`, `2e3`. Exact to a billionth, as apimachinery's resource.Quantity: finer input is
 * rounded up, and amounts above 2^63-1 are cut to it.
 * https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
 */
import { SkiffError } from '#foundation/base/errors.ts';

/** How a quantity was written, and so how it is written back. */
export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

/** An exact amount. */
export interface Quantity {
  /** Billionths. */
  readonly nanos: bigint;
  readonly format: QuantityFormat;
}

const billion = 1_000_000_000n;
const maxNanos = ((1n << 63n) - 1n) * billion;
const decimalSuffixes: Record<string, number> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
/** More digits than any amount needs; longer input is an attack. */
const maxDigits = 400;

/**
 * Reads a quantity.
 *
 * @throws SkiffError INVALID_ARGUMENT if it is none.
 */
export function quantity(text: string): Quantity {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,3})?$/.exec(
    text,
  );
  const [, sign = '', whole = '', fraction = '', suffix = ''] = match ?? [];
  if (match === null || whole.length + fraction.length === 0 || text.length > maxDigits)
    throw badQuantity(text);
  const digits = BigInt(whole + fraction);
  const scaled = scale(digits, fraction.length, suffix);
  const capped = scaled.nanos > maxNanos ? maxNanos : scaled.nanos;
  return { nanos: sign === '-' ? -capped : capped, format: scaled.format };
}

function badQuantity(text: string): SkiffError {
  const shown = text.length > 60 ? `${text.slice(0, 60)}...` : text;
  return new SkiffError(
    'INVALID_ARGUMENT',
    `"${shown}" is not a quantity: write a number and a suffix such as 500m, 2, 64Mi or 1.5G`,
  );
}

function scale(digits: bigint, fractionDigits: number, suffix: string): Quantity {
  const power = binarySuffixes.indexOf(suffix);
  if (power > 0) {
    const nanos = (digits * billion) << BigInt(10 * power);
    return { nanos: divideUp(nanos, 10n ** BigInt(fractionDigits)), format: 'BinarySI' };
  }
  const exponent = decimalSuffixes[suffix] ?? Number(suffix.slice(1));
  const shift = exponent + 9 - fractionDigits;
  const nanos = shift >= 0 ? digits * 10n ** BigInt(shift) : divideUp(digits, 10n ** BigInt(-shift));
  return { nanos, format: suffix in decimalSuffixes ? 'DecimalSI' : 'DecimalExponent' };
}

/** Away from zero; `value` is never negative here. */
function divideUp(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}

/** The canonical text: no fraction, the largest suffix that keeps it exact, in the family it was written in. */
export function formatQuantity({ nanos, format }: Quantity): string {
  if (nanos === 0n) return '0';
  const sign = nanos < 0n ? '-' : '';
  const amount = nanos < 0n ? -nanos : nanos;
  const binary = format === 'BinarySI' && amount >= 1024n * billion && amount % billion === 0n;
  if (binary) return sign + formatBinary(amount / billion);
  return sign + formatDecimal(amount, format === 'DecimalExponent');
}

function formatBinary(amount: bigint): string {
  let power = 0;
  let rest = amount;
  while (power < binarySuffixes.length - 1 && rest % 1024n === 0n) {
    rest /= 1024n;
    power += 1;
  }
  return `${rest}${binarySuffixes[power]}`;
}

function formatDecimal(nanos: bigint, exponentForm: boolean): string {
  let exponent = -9;
  let rest = nanos;
  while (exponent < 18 && rest % 1000n === 0n) {
    rest /= 1000n;
    exponent += 3;
  }
  if (exponentForm) return exponent === 0 ? `${rest}` : `${rest}e${exponent}`;
  const suffix = Object.entries(decimalSuffixes).find(([, value]) => value === exponent)?.[0] ?? '';
  return `${rest}${suffix}`;
}

/** The canonical text of a quantity's text. @throws SkiffError INVALID_ARGUMENT. */
export function canonicalQuantity(text: string): string {
  return formatQuantity(quantity(text));
}

/** Negative, zero or positive as `a` is less than, equal to or more than `b`. */
export function compareQuantities(a: Quantity, b: Quantity): number {
  return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0;
}

/** The sum, in the format of the first that is not zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos + b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** The difference, in the format of the first. */
export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos - b.nanos, format: a.format };
}

/** Whole units, rounded away from zero (resource.Quantity's Value). */
export function wholeUnits({ nanos }: Quantity): bigint {
  return nanos < 0n ? -divideUp(-nanos, billion) : divideUp(nanos, billion);
}

/** Thousandths, rounded away from zero (resource.Quantity's MilliValue). */
export function milliUnits({ nanos }: Quantity): bigint {
  return nanos < 0n ? -divideUp(-nanos, 1_000_000n) : divideUp(nanos, 1_000_000n);
}

/**
 * The nearest number, for arithmetic that need not be exact.
 *
 * @throws SkiffError INVALID_ARGUMENT if `text` is no quantity.
 */
export function parseQuantity(text: string): number {
  const { nanos } = quantity(text);
  return Number(nanos / billion) + Number(nanos % billion) / 1e9;
}
