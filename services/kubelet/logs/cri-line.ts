/**
 * One line of a container's log as CRI runtimes write it:
 * `2026-11-21T09:30:00.123456789Z stdout F text` - time, stream, F for a full line or P for a part of one, text.
 */

/** A line of a log. */
export interface LogLine {
  /** RFC 3339 with up to nine decimals, as written. */
  timestamp: string;
  stream: 'stdout' | 'stderr';
  /** Whether the line goes on in the next entry of its stream. */
  partial: boolean;
  /** The text; with its line feed unless it is partial. */
  content: Buffer;
}

const space = 0x20;

/**
 * Parses an entry without its line feed.
 *
 * @returns undefined for what is no entry: a line cut by a crash, or something else's file.
 */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(space);
  const second = line.indexOf(space, first + 1);
  if (first < 0 || second < 0) return undefined;
  const timestamp = line.toString('latin1', 0, first);
  const stream = line.toString('latin1', first + 1, second);
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const third = line.indexOf(space, second + 1);
  const tagsEnd = third < 0 ? line.length : third;
  // Tags are separated by colons; the first says whether the line is whole.
  const partial = line[second + 1] === 0x50 && (tagsEnd === second + 2 || line[second + 2] === 0x3a);
  const text = line.subarray(Math.min(line.length, tagsEnd + 1));
  return { timestamp, stream, partial, content: partial ? text : Buffer.concat([text, lineFeed]) };
}

const lineFeed = Buffer.from('\n');

/** Milliseconds since the epoch of a timestamp; NaN if it is none. */
export function timeOf(timestamp: string): number {
  return Date.parse(timestamp.replace(/(\.\d{3})\d+/, '$1'));
}
