/**
 * Skiff's CRI server as a process of its own, for benches: `skiff-server.ts ROOT CNI_CONFIG_DIRECTORY`. It runs
 * until SIGTERM; its log goes to standard error.
 */
import { createLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { createCriServer } from '#services/cri-server/server.ts';
import { pluginDirectory } from './network.ts';

const [, , root = '', configDir = ''] = process.argv;
const server = createCriServer({
  paths: pathsUnder(root),
  version: '0.0.0-bench',
  log: createLogger('info'),
  cni: { configDir, binDirs: [pluginDirectory], writeDefault: false },
});
await server.listen();
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)));
