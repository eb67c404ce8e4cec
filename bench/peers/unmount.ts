/** Takes away what a killed runtime left mounted. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Unmounts everything at and below a directory, the deepest first. */
export function unmountBelow(directory: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point === directory || point.startsWith(`${directory}/`));
  for (const point of points.reverse()) {
    try {
      execFileSync('umount', ['-l', point], { stdio: 'ignore' });
    } catch {
      // Gone with another one.
    }
  }
}
