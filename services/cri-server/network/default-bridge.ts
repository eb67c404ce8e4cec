/** Takes the bridge of the default configuration away again. CNI has no verb for that: plugins leave theirs. */
import { deleteLink, findLink } from '#foundation/linux/links.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';
import { bridgeName } from './default-config.ts';

/** Deletes the bridge of a root, when no pod is left on it; none is success. The next pod makes it anew. */
export function removeDefaultBridge(tag: string): void {
  using socket = openNetlink();
  const bridge = findLink(socket, bridgeName(tag));
  if (bridge !== undefined) deleteLink(socket, bridge.index);
}
