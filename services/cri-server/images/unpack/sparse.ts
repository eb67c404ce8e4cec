/** Sparse files in tar: GNU's old format (type S), and PAX 0.0, 0.1 and 1.0 (GNU tar manual, "Sparse Formats"). */
import { SkiffError } from '#foundation/base/errors.ts';
import { number } from './tar-header.ts';

/** One stretch of data in a sparse file. */
export interface SparseRegion {
  offset: number;
  length: number;
}

/** Regions that one file may have: each costs memory. */
const maxRegions = 1_000_000;

/** Reads the entries of a GNU header (4, at 386) or its extension block (21, at 0). */
export function gnuRegions(block: Buffer, at: number, count: number): SparseRegion[] {
  const regions: SparseRegion[] = [];
  for (let index = 0; index < count; index += 1) {
    const offset = at + index * 24;
    if (block[offset] === 0) break;
    regions.push({
      offset: number(block, offset, 12, 'sparse offset'),
      length: number(block, offset + 12, 12, 'sparse length'),
    });
  }
  return regions;
}

/** Whether another extension block follows. */
export function gnuContinues(block: Buffer, flagAt: number): boolean {
  return block[flagAt] !== 0;
}

/** Parses `offset,length,offset,length...` of PAX 0.1. */
export function paxRegions(map: string): SparseRegion[] {
  return pairs(map.split(','));
}

/**
 * Parses the map that stands before the data in PAX 1.0: decimal lines, the first the count of regions,
 * padded to a block.
 *
 * @param line reads one line of the entry's data.
 */
export function pax1Regions(line: () => string): SparseRegion[] {
  const count = decimal(line());
  if (count > maxRegions) throw damaged('it has too many regions');
  const numbers: string[] = [];
  for (let index = 0; index < count * 2; index += 1) numbers.push(line());
  return pairs(numbers);
}

/**
 * Checks that regions are in order, do not overlap, lie in the file and together are as long as the data.
 *
 * @throws SkiffError DATA_LOSS otherwise.
 */
export function checkRegions(regions: SparseRegion[], fileBytes: number, dataBytes: number): void {
  let end = 0;
  let total = 0;
  for (const { offset, length } of regions) {
    if (offset < end || offset + length > fileBytes) throw damaged('a region lies outside the file');
    end = offset + length;
    total += length;
  }
  if (total !== dataBytes) throw damaged('its regions are not as long as its data');
}

function pairs(numbers: string[]): SparseRegion[] {
  if (numbers.length === 1 && numbers[0] === '') return [];
  if (numbers.length % 2 !== 0 || numbers.length > maxRegions * 2) throw damaged('its map is not of pairs');
  const regions: SparseRegion[] = [];
  for (let index = 0; index < numbers.length; index += 2)
    regions.push({ offset: decimal(numbers[index] ?? ''), length: decimal(numbers[index + 1] ?? '') });
  return regions;
}

function decimal(text: string): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw damaged('its map has something that is no number');
  return value;
}

function damaged(why: string): SkiffError {
  return new SkiffError('DATA_LOSS', `the tar archive is damaged: a sparse file is wrong: ${why}`);
}
