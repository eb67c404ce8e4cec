/** IP addresses and networks as bytes, numbers and text. */
import { isIPv4, isIPv6 } from 'node:net';
import { SkiffError } from './errors.ts';

/** An address as its 4 or 16 bytes. @throws SkiffError INVALID_ARGUMENT if it is none. */
export function parseAddress(text: string): Buffer {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number));
  if (!isIPv6(text) || text.includes('%'))
    throw new SkiffError('INVALID_ARGUMENT', `"${text}" is not an IP address`);
  const [head = '', tail] = withoutDotted(text).split('::');
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  const bytes = Buffer.alloc(16);
  for (const [at, group] of [...before, ...zeros, ...after].entries()) bytes.writeUInt16BE(group, at * 2);
  return bytes;
}

function groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

/** `::ffff:1.2.3.4` with its last four bytes in hex. */
function withoutDotted(text: string): string {
  return text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a: string, b: string, c: string, d: string) => {
    const group = (high: string, low: string) => ((Number(high) << 8) | Number(low)).toString(16);
    return `${group(a, b)}:${group(c, d)}`;
  });
}

/** The usual text of an address of 4 or 16 bytes (RFC 5952 for IPv6). */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const view = Buffer.from(bytes);
  const parts = Array.from({ length: 8 }, (_, at) => view.readUInt16BE(at * 2).toString(16)).join(':');
  // The longest run of two or more zero groups, the first of equals, becomes "::".
  const runs = [...parts.matchAll(/(?:^|(?<=:))0(?::0)+(?=:|$)/g)];
  const longest = runs.reduce<RegExpExecArray | undefined>(
    (best, run) => (best === undefined || run[0].length > best[0].length ? run : best),
    undefined,
  );
  if (longest === undefined) return parts;
  const left = parts.slice(0, longest.index).replace(/:$/, '');
  const right = parts.slice(longest.index + longest[0].length).replace(/^:/, '');
  return `${left}::${right}`;
}

/** A network in CIDR form. */
export interface Network {
  /** The first address, as a number. */
  base: bigint;
  prefix: number;
  /** 4 or 6. */
  family: 4 | 6;
}

/** Parses `10.1.0.0/16`; bits behind the prefix are dropped. @throws SkiffError INVALID_ARGUMENT. */
export function parseNetwork(text: string): Network {
  const [address = '', length = ''] = text.split('/');
  const bytes = parseAddress(address);
  const bits = bytes.length * 8;
  const prefix = Number(length);
  if (!/^\d+$/.test(length) || prefix > bits)
    throw new SkiffError('INVALID_ARGUMENT', `"${text}" is not a network in the form address/prefix`);
  const rest = BigInt(bits - prefix);
  return { base: (addressNumber(address) >> rest) << rest, prefix, family: bits === 32 ? 4 : 6 };
}

/** The last address of a network (the broadcast address of IPv4), as a number. */
export function lastOf(network: Network): bigint {
  return network.base + (1n << BigInt((network.family === 4 ? 32 : 128) - network.prefix)) - 1n;
}

/** Whether a network holds an address. */
export function contains(network: Network, address: string): boolean {
  const number = addressNumber(address);
  return (
    parseAddress(address).length === (network.family === 4 ? 4 : 16) &&
    number >= network.base &&
    number <= lastOf(network)
  );
}

/** An address as a number. */
export function addressNumber(text: string): bigint {
  return BigInt(`0x${parseAddress(text).toString('hex')}`);
}

/** The address that a number stands for. */
export function numberAddress(number: bigint, family: 4 | 6): string {
  return formatAddress(Buffer.from(number.toString(16).padStart(family === 4 ? 8 : 32, '0'), 'hex'));
}
