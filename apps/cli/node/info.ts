/** What a running node says of itself in `<run>/node.json`, for the verbs that talk to it. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { identify, isRunning, type ProcessIdentity } from '#foundation/linux/process.ts';

/** Who started a node: `up`, so that the last `down` ends it too, or a person. */
export type StartedBy = 'up' | 'person';

/** The file's content. */
export interface NodeInfo {
  version: 1;
  /** Tells the node from a later process with its number. */
  process: ProcessIdentity;
  nodeName: string;
  startedBy: StartedBy;
  /** The kubeconfig of the embedded API's administrator, or of the cluster that the node joined. */
  kubeconfig?: string;
}

function fileOf(paths: Paths): string {
  return join(paths.run, 'node.json');
}

/** Publishes this process as the node of a root: it is ready from now on. */
export function writeNodeInfo(paths: Paths, info: Omit<NodeInfo, 'version' | 'process'>): void {
  const self = identify(process.pid);
  if (self === undefined) throw new SkiffError('INTERNAL', 'Cannot read /proc/self/stat: is /proc mounted?');
  const content: NodeInfo = { version: 1, process: self, ...info };
  replaceFileSync(fileOf(paths), `${JSON.stringify(content, undefined, 2)}\n`, { durable: false });
}

/** Withdraws what `writeNodeInfo` published. */
export function removeNodeInfo(paths: Paths): void {
  rmSync(fileOf(paths), { force: true });
}

/** The node that runs under this root; undefined if none does. */
export function readNodeInfo(paths: Paths): NodeInfo | undefined {
  const info = readFile(paths);
  return info !== undefined && isRunning(info.process) ? info : undefined;
}

/** What a node left that was killed: its pods may be running still. */
export function readKilledNode(paths: Paths): NodeInfo | undefined {
  const info = readFile(paths);
  return info !== undefined && !isRunning(info.process) ? info : undefined;
}

function readFile(paths: Paths): NodeInfo | undefined {
  try {
    const info = JSON.parse(readFileSync(fileOf(paths), 'utf8')) as NodeInfo;
    return info.version === 1 ? info : undefined;
  } catch {
    return undefined; // No node was ever ready here.
  }
}
