/** What a running node says of itself in `<run>/node.json`, for the verbs that talk to it. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { Paths } from '#foundation/base/paths.ts';

/** The file's content. */
export interface NodeInfo {
  version: 1;
  pid: number;
  nodeName: string;
  /** Whether `skiff up` started it, so that the last `down` ends it too. */
  startedBy: 'up' | 'person';
  /** The kubeconfig of the embedded API's administrator, or of the cluster that the node joined. */
  kubeconfig?: string;
}

function fileOf(paths: Paths): string {
  return join(paths.run, 'node.json');
}

/** Publishes the node: it is ready from now on. */
export function writeNodeInfo(paths: Paths, info: NodeInfo): void {
  replaceFileSync(fileOf(paths), `${JSON.stringify(info, undefined, 2)}\n`, { durable: false });
}

/** Withdraws what `writeNodeInfo` published. */
export function removeNodeInfo(paths: Paths): void {
  rmSync(fileOf(paths), { force: true });
}

/** The node that runs under this root; undefined if none does (a file that a killed node left does not count). */
export function readNodeInfo(paths: Paths): NodeInfo | undefined {
  let info: NodeInfo;
  try {
    info = JSON.parse(readFileSync(fileOf(paths), 'utf8')) as NodeInfo;
  } catch {
    return undefined;
  }
  return info.version === 1 && isAlive(info.pid) ? info : undefined;
}

/** Whether a process with this id exists (kill(2) with signal 0). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
