/** The routes of a pod's namespace as the guest is to have them. */
import type { Link } from '#foundation/linux/links.ts';
import type { NetlinkSocket } from '#foundation/linux/netlink.ts';
import { readRouteTable, type TableRoute } from '#foundation/linux/route-table.ts';
import type { AgentRoute } from '../agent-client/types.ts';

/**
 * Both families' routes by way of `links`, in an order in which they can be added: those on the link first, since a
 * gateway must be reachable when its route is added.
 */
export function guestRoutes(socket: NetlinkSocket, links: readonly Link[]): AgentRoute[] {
  const names = new Map(links.map((link) => [link.index, link.name]));
  const routes = [...readRouteTable(socket, 4), ...readRouteTable(socket, 6)];
  return routes
    .filter((route) => names.has(route.index))
    .sort((left, right) => Number(left.gateway !== undefined) - Number(right.gateway !== undefined))
    .map((route) => guestRoute(route, names.get(route.index) ?? ''));
}

function guestRoute(route: TableRoute, name: string): AgentRoute {
  const { destination, gateway, source, scope, metric, mtu, onlink } = route;
  return {
    destination,
    interface: name,
    scope,
    onlink,
    ...(gateway === undefined ? {} : { gateway }),
    ...(source === undefined ? {} : { source }),
    ...(metric === undefined ? {} : { metric }),
    ...(mtu === undefined ? {} : { mtu }),
  };
}
