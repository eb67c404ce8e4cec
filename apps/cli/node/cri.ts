/** The CRI connection of the verbs that talk to a running node. */
import { existsSync } from 'node:fs';
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { requireRoot } from '../context.ts';

/**
 * Connects to the CRI server of this root.
 *
 * @param verb the verb, for the message.
 * @throws SkiffError PERMISSION_DENIED without root, UNAVAILABLE if no node runs.
 */
export function connectNode(context: Context, verb: string): CriClient {
  requireNode(context, verb);
  return connectCri(context.paths.criSocket);
}

/** Throws what `connectNode` throws, without connecting. */
export function requireNode(context: Context, verb: string): void {
  requireRoot(verb, "to use the node's socket");
  if (!existsSync(context.paths.criSocket)) throw notRunning(context);
}

/** The error that says that nothing runs and what starts it. */
export function notRunning(context: Context): SkiffError {
  const where = context.paths.root === '/' ? '' : ` --root ${context.paths.root}`;
  return new SkiffError(
    'UNAVAILABLE',
    `no node runs here (no ${context.paths.criSocket}): start one with \`skiff${where} up MANIFEST\` or \`skiff${where} node\``,
  );
}
