/**
 * A CRI server as a process of its own, so that a test can kill it: `node cri-process.ts ROOT [AHEAD]`, AHEAD being
 * `cri.vm` of the configuration as JSON. It says `ready` when it serves, and ends with SIGTERM.
 */
import { join } from 'node:path';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { createCriServer } from '#services/cri-server/server.ts';
import { skiffVm } from './oci-stage.ts';

const [root = '', ahead] = process.argv.slice(2);
const paths = pathsUnder(root);
const server = createCriServer({
  paths,
  version: '0.0.0-test',
  log: silentLogger,
  cni: { configDir: join(paths.etc, 'cni'), binDirs: ['/usr/lib/cni'], writeDefault: true },
  runtimes: {
    candidates: [{ name: 'crun' }, { name: 'runc' }, { name: 'vm', path: skiffVm }],
    preferred: 'vm',
    hostPods: 'plain',
    ...(ahead === undefined ? {} : { vmsAhead: JSON.parse(ahead) }),
  },
});
await server.listen();
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)));
process.stdout.write('ready\n');
