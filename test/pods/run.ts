/**
 * Shows pods to any kubelet that reads manifests from a directory and serves /pods:
 *
 *     node test/pods/run.ts --manifests DIR --kubelet https://127.0.0.1:10250
 *       [--cases DIR] [--only TEXT] [--at-once N] [--patience SECONDS]
 *       [--certificate FILE --key FILE | --token TEXT]
 *       [--log FILE]            the kubelet's log, to see events (the original's from -v=3 on)
 *       [--runtime-class NAME]  run every pod with this class, e.g. vm
 *       [--without NAME,...]    facilities that node or runtime lack (case.ts)
 *
 * The images come from a registry on 127.0.0.1 that this program serves meanwhile. Exit status 1 if a case failed.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { casesDirectory, type Facility, facilities, readCases } from './case.ts';
import { logFileEvents } from './event-log.ts';
import { startImages } from './images.ts';
import { openKubelet } from './kubelet-client.ts';
import { runCases, type Verdict } from './runner.ts';

const { values } = parseArgs({
  options: {
    manifests: { type: 'string' },
    kubelet: { type: 'string', default: 'https://127.0.0.1:10250' },
    cases: { type: 'string', default: casesDirectory },
    only: { type: 'string', default: '' },
    'at-once': { type: 'string', default: '24' },
    patience: { type: 'string', default: '60' },
    certificate: { type: 'string' },
    key: { type: 'string' },
    token: { type: 'string' },
    log: { type: 'string' },
    'runtime-class': { type: 'string' },
    without: { type: 'string', default: '' },
  },
});

function print({ podCase, failure, missing, seconds }: Verdict): void {
  if (missing.length > 0) console.log(`-    ${podCase.name}: needs ${missing.join(', ')}`);
  else if (failure === undefined) console.log(`ok   ${podCase.name} (${seconds.toFixed(1)} s)`);
  else console.log(`FAIL ${podCase.name}: ${podCase.shows}\n  ${failure}`);
}

if (values.manifests === undefined) {
  console.error('--manifests DIR is missing: the directory that the kubelet reads manifests from');
  process.exit(64);
}
const { certificate, key, token, kubelet: url, log } = values;
const without = new Set(values.without.split(',') as Facility[]);
if (log === undefined) without.add('events');
const files = mkdtempSync('/tmp/skiff-pods-');
await using registry = await startImages();
await using kubelet = openKubelet({ url, certificate, key, token });
const stage = {
  kubelet,
  manifests: values.manifests,
  files: join(files),
  registry: registry.host,
  events: log === undefined ? undefined : logFileEvents(log),
  facilities: new Set(facilities.filter((each) => !without.has(each))),
  runtimeClass: values['runtime-class'],
  patience: Number(values.patience),
};
const verdicts = await runCases(
  stage,
  readCases(values.only, values.cases),
  Number(values['at-once']),
  print,
);
const count = (test: (verdict: Verdict) => boolean) => verdicts.filter(test).length;
const failed = count(({ failure }) => failure !== undefined);
const left = count(({ missing }) => missing.length > 0);
console.log(`${verdicts.length - failed - left} as wanted, ${failed} failed, ${left} left out`);
rmSync(files, { recursive: true, force: true });
process.exitCode = failed > 0 ? 1 : 0;
