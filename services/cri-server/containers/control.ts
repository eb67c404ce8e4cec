/** conmon's control FIFO: lines of `TYPE HEIGHT WIDTH`, type 1 for the terminal's size, 2 to reopen the log. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { Core } from './deps.ts';
import { bundleOf } from './places.ts';

/** Tells conmon the size of a container's terminal, in character cells; zeros are ignored. */
export function resizeTerminal(
  core: Pick<Core, 'paths'>,
  id: string,
  size: { width: number; height: number },
): void {
  if (size.width > 0 && size.height > 0) send(core, id, `1 ${size.height} ${size.width}\n`);
}

/** Tells conmon to close its log and to open it again by name. */
export function reopenLog(core: Pick<Core, 'paths'>, id: string): void {
  send(core, id, '2 0 0\n');
}

function send(core: Pick<Core, 'paths'>, id: string, line: string): void {
  let fd: number | undefined;
  try {
    // Not blocking: without a reader, which is conmon, open(2) fails with ENXIO instead of waiting for one.
    fd = openSync(join(bundleOf(core.paths, id), 'ctl'), constants.O_WRONLY | constants.O_NONBLOCK);
    writeSync(fd, line);
  } catch (error) {
    if (errnoOf(error) === 'ENXIO' || errnoOf(error) === 'ENOENT')
      throw new SkiffError('UNAVAILABLE', 'its monitor (conmon) is gone; restart the container', {
        cause: error,
      });
    throw wrapError(error, 'Cannot reach its monitor (conmon)');
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
