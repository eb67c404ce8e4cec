/** Programs for guest/launch: rows of steps, each a byte that names it and what it takes. guest/launch/steps.c reads them. */

/** The steps in the order of their numbers, from 1: those of guest/launch/steps.c, whose files say what each does. */
const names = [
  ...(['group', 'limit', 'devices', 'join', 'keep', 'load', 'clone', 'enter', 'unshare', 'write'] as const),
  ...(['spread', 'root', 'mount', 'device', 'link', 'mask', 'protect', 'terminal', 'pivot', 'seal'] as const),
  ...(['resource', 'environment', 'home', 'arguments', 'directory', 'user', 'bound'] as const),
  ...(['capabilities', 'noNewPrivileges', 'filter', 'find', 'wait', 'run', 'include', 'make'] as const),
];

/** A step's name. */
export type StepName = (typeof names)[number];
/** What a step takes: numbers of 64 bits, texts without a zero byte, lists of texts, bytes. */
export type StepValue = number | bigint | boolean | string | readonly string[] | Uint8Array;
/** A step. */
export type Step = readonly [name: StepName, ...values: StepValue[]];

/** Thrown for what launch cannot do, or not as crun does it: crun starts such a container. */
export class NotForLaunch extends Error {}

const maxNumber = 2n ** 64n - 1n;

/** The bytes of a program. @throws NotForLaunch for a text with a zero byte. */
export function programOf(steps: readonly Step[]): Buffer {
  return Buffer.concat(
    steps.flatMap(([name, ...values]) => [Buffer.of(names.indexOf(name) + 1), ...values.map(bytesOf)]),
  );
}

function bytesOf(value: StepValue): Uint8Array {
  if (typeof value === 'string') return textBytes(value);
  if (value instanceof Uint8Array) return Buffer.concat([numberBytes(value.length), value]);
  if (typeof value === 'object') return Buffer.concat([numberBytes(value.length), ...value.map(textBytes)]);
  return numberBytes(typeof value === 'boolean' ? Number(value) : value);
}

function textBytes(text: string): Buffer {
  if (text.includes('\0')) throw new NotForLaunch('a text with a zero byte');
  return Buffer.from(`${text}\0`);
}

/** Numbers that JSON had rounded up beyond 64 bits are the highest: RLIM_INFINITY. */
function numberBytes(value: number | bigint): Buffer {
  const number = BigInt(typeof value === 'number' && !Number.isFinite(value) ? 0 : value);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(number > maxNumber ? maxNumber : BigInt.asUintN(64, number));
  return bytes;
}
