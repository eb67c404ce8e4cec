/** A directory below which a bench runs a whole node, and the end of everything that the node leaves there. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { killContainersBelow } from './peers/leftovers.ts';
import { commandLines } from './peers/peer.ts';
import { unmountBelow } from './peers/unmount.ts';

export interface NodeRoot {
  readonly directory: string;
  /** Processes that name the directory on their command line: conmon, supervisors. @param node the node's own. */
  helpers(node?: number): number[];
  /** Kills what runs there, unmounts what is mounted there, and removes the directory. */
  clear(): Promise<void>;
}

/** Makes the directory. @param prefix of its name: `/tmp/skiff-xy-`. */
export function makeNodeRoot(prefix: string): NodeRoot {
  const directory = mkdtempSync(prefix);
  chmodSync(directory, 0o711); // Pods of users without rights pass through it.
  const helpers = (node?: number) =>
    [...commandLines()].filter(([id, line]) => id !== node && line.includes(directory)).map(([id]) => id);
  return {
    directory,
    helpers,
    async clear() {
      for (const helper of helpers()) {
        try {
          process.kill(helper, 'SIGKILL');
        } catch {
          // It ended meanwhile.
        }
      }
      await killContainersBelow(directory);
      unmountBelow(directory);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
