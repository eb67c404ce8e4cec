/**
 * Shows the cases on Skiff with every pod in a microVM of its own (runtime class vm):
 *
 *     node test/pods/vm.ts [--only TEXT] [--at-once N] [--patience SECONDS]
 *
 * What a VM cannot be must be refused as refusals.ts lists it. Exit status 1 if a case was not as wanted.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connectCri } from '#contracts/cri/client.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { createCriServer } from '#services/cri-server/server.ts';
import { removeAllPods } from '../../bench/peers/peer.ts';
import { skiffVm } from '../vm/oci-stage.ts';
import { facilities, readCases } from './case.ts';
import type { PodEvent } from './event-log.ts';
import { openStage } from './fixture.ts';
import { refusals, withRefusal } from './refusals.ts';
import { runCases, type Verdict } from './runner.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    'at-once': { type: 'string', default: '4' },
    patience: { type: 'string', default: '300' },
  },
});
const root = mkdtempSync('/tmp/skiff-pv-');
chmodSync(root, 0o711);
const server = createCriServer({
  paths: pathsUnder(root),
  version: '0.0.0-test',
  log: silentLogger,
  cni: { configDir: join(root, 'cni'), binDirs: ['/usr/lib/cni'], writeDefault: true },
  runtimes: { candidates: [{ name: 'crun' }, { name: 'runc' }, { name: 'vm', path: skiffVm }] },
});
await server.listen();
const tally = { wanted: 0, refused: 0, failed: 0, left: 0 };

function show(verdict: Verdict, events: readonly PodEvent[]): void {
  const { podCase, failure, missing, seconds, refused } = withRefusal(verdict, 'vm', events);
  const word =
    missing.length > 0
      ? 'left'
      : failure !== undefined
        ? 'failed'
        : refused !== undefined
          ? 'refused'
          : 'wanted';
  tally[word] += 1;
  console.log(`${word.padEnd(8)} ${podCase.name} (${seconds.toFixed(1)} s)`);
  const detail = failure ?? refused ?? missing.join(', ');
  if (detail !== '') console.log(`  ${detail}`);
  if (failure === undefined) return;
  for (const { name, reason, message } of events)
    if (name.startsWith(podCase.pod ?? podCase.name)) console.log(`    ${reason}: ${message}`);
}

{
  await using stage = await openStage({ endpoint: server.endpoint, facilities });
  const own = { ...stage, runtimeClass: 'vm', patience: Number(values.patience) };
  const names = new RegExp(values.only);
  const cases = readCases().filter(({ name }) => names.test(name));
  const isListed = ({ name }: { name: string }) => refusals.vm?.[name] !== undefined;
  const tell = (verdict: Verdict) => show(verdict, stage.events?.() ?? []);
  const others = cases.filter((each) => !isListed(each));
  await runCases(own, others, Number(values['at-once']), tell);
  // One that is refused would be waited for in vain.
  await runCases({ ...own, patience: 5 }, cases.filter(isListed), 6, tell);
}
using client = connectCri(server.endpoint);
await removeAllPods(client);
await server.close();
unmountTree(root);
rmSync(root, { recursive: true, force: true });
console.log(
  `${tally.wanted} as wanted, ${tally.refused} refused as listed, ${tally.failed} failed, ${tally.left} left out`,
);
process.exitCode = tally.failed > 0 ? 1 : 0;
