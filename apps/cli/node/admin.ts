/** The admin connection of the verbs that handle images on a running node. */
import { type AdminClient, connectAdmin } from '#contracts/admin/client.ts';
import type { Context } from '../context.ts';
import { requireNode } from './cri.ts';

/**
 * Connects to the admin service of this root's CRI server.
 *
 * @param verb the verb, for the message.
 * @throws SkiffError PERMISSION_DENIED without root, UNAVAILABLE if no node runs.
 */
export function connectNodeAdmin(context: Context, verb: string): AdminClient {
  requireNode(context, verb);
  return connectAdmin(context.paths.criSocket);
}
