/**
 * What runs beside the core, each on a beat of its own: the HTTP server. Made from the same configuration; started
 * after the core and stopped before it.
 */
import { join } from 'node:path';
import { undoStack } from '#foundation/base/undo.ts';
import type { CoreServices } from './core-deps.ts';
import type { KubeletDeps } from './kubelet.ts';
import type { KubeletParts } from './parts.ts';
import { metricRoutes } from './server/routes/metrics.ts';
import { createKubeletServer } from './server/server.ts';

/** Something with a beginning and an end. */
interface Keeper {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** The keepers of a kubelet. */
export interface Keepers extends Keeper {
  /** The ports that the HTTP server got, by what they serve: `secure`, `readonly`, `healthz`. */
  ports(): ReadonlyMap<string, number>;
}

/** Makes them; nothing runs before `start`. */
export function createKeepers(deps: KubeletDeps, core: CoreServices, parts: KubeletParts): Keepers {
  const server = makeServer(deps, core, parts);
  const keepers: [string, Keeper][] = [['server', server]];
  return {
    async start() {
      await using undo = undoStack();
      for (const [name, keeper] of keepers) {
        await keeper.start();
        undo.defer(`stop the ${name}`, () => keeper.stop());
      }
      undo.commit();
    },
    async stop() {
      for (const [, keeper] of keepers.toReversed()) await keeper.stop();
    },
    ports: server.ports,
  };
}

function makeServer(deps: KubeletDeps, core: CoreServices, parts: KubeletParts) {
  const { configuration, paths, clock, logger: log, nodeName: hostname, api } = deps;
  return createKubeletServer({
    configuration,
    kubeletRoot: paths.kubelet,
    hostname,
    logRoot: '/var/log',
    socket: join(paths.run, 'kubelet.sock'),
    view: core.view,
    node: parts.node,
    cri: core.runtime,
    statRoutes: metricRoutes(core.view.metrics),
    api,
    clock,
    log,
  });
}
