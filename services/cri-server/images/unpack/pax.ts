/** PAX extended headers: `LENGTH KEY=VALUE\n` records (POSIX.1-2001 pax, "pax Extended Header"). */
import { SkiffError } from '#foundation/base/errors.ts';

/** The records of one header; values are binary strings. An empty value deletes a global one. */
export type PaxRecords = Map<string, string>;

/** What the records of a sparse file of format 0.0 repeat; kept in order. */
const repeated = new Set(['GNU.sparse.offset', 'GNU.sparse.numbytes']);

/**
 * Parses the data of a PAX header.
 *
 * @throws SkiffError DATA_LOSS if a record is malformed.
 */
export function parsePax(data: Buffer): PaxRecords {
  const records: PaxRecords = new Map();
  const sparse: string[] = [];
  for (let at = 0; at < data.length && data[at] !== 0; ) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? '' : data.toString('latin1', at, space);
    const length = /^[0-9]{1,9}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length < digits.length + 3 || end > data.length || data[end - 1] !== 0x0a)
      throw new SkiffError('DATA_LOSS', 'the tar archive is damaged: a PAX record has a wrong length');
    const equals = data.indexOf(0x3d, space + 1);
    if (equals < 0 || equals >= end)
      throw new SkiffError('DATA_LOSS', 'the tar archive is damaged: a PAX record has no "="');
    const key = data.toString('latin1', space + 1, equals);
    const value = data.toString('latin1', equals + 1, end - 1);
    if (repeated.has(key)) sparse.push(value);
    else records.set(key, value);
    at = end;
  }
  // Format 0.0 is turned into 0.1's one record.
  if (sparse.length > 0) records.set('GNU.sparse.map', sparse.join(','));
  return records;
}

/** A time record in nanoseconds: `1350244992.023960108`, perhaps negative. */
export function parsePaxTime(value: string): bigint {
  const match = /^(-?)([0-9]{1,18})(?:\.([0-9]*))?$/.exec(value);
  if (match === null)
    throw new SkiffError('DATA_LOSS', 'the tar archive is damaged: a PAX time is no number');
  const [, sign, seconds = '0', fraction = ''] = match;
  const nanoseconds = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0').slice(0, 9) || '0');
  return sign === '-' ? -nanoseconds : nanoseconds;
}

/** A decimal number record. */
export function parsePaxNumber(value: string, what: string): number {
  const result = /^[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(result))
    throw new SkiffError('DATA_LOSS', `the tar archive is damaged: the PAX ${what} is no number`);
  return result;
}
