/** Progress bars of a fixed width. */
import { bytes } from './units.ts';

const barWidth = 24;

/**
 * A bar with its figures: `[=========>      ] 12.3MB/29.1MB`.
 *
 * @param done bytes so far.
 * @param total bytes in all; 0 when nobody knows, then only `done` is shown.
 */
export function progressBar(done: number, total: number): string {
  if (total <= 0) return bytes(done);
  const filled = Math.min(barWidth, Math.floor((done / total) * barWidth));
  const head = filled < barWidth ? '>' : '';
  const bar = `${'='.repeat(filled)}${head}`.slice(0, barWidth).padEnd(barWidth);
  return `[${bar}] ${bytes(done)}/${bytes(total)}`;
}
