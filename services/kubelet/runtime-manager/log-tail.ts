/** The end of a container's log without the CRI's line heads, for termination messages. */
import { readTail } from '#foundation/base/files.ts';

/** Bytes a line of the CRI log format adds: time, stream and tag. */
const headBytes = 64;

/** The last `lines` lines of a CRI log, at most `bytes` bytes; empty if there is no log. */
export async function tailOfLog(path: string, lines: number, bytes: number): Promise<string> {
  let raw: string;
  try {
    raw = (await readTail(path, bytes + lines * headBytes)).toString();
  } catch {
    return ''; // Gone with its pod, or never made.
  }
  const tail = raw
    .split('\n')
    .filter((line) => line !== '')
    .slice(-lines);
  const text = tail.map(textOf).join('');
  return Buffer.from(text).subarray(-bytes).toString();
}

/** `TIME STREAM P|F TEXT`: the text, with the newline that only full lines had. */
function textOf(line: string): string {
  const parsed = /^\S+ (?:stdout|stderr) ([PF])(?::\S*)? (.*)$/.exec(line);
  if (parsed === null) return '';
  return parsed[1] === 'F' ? `${parsed[2]}\n` : (parsed[2] ?? '');
}
