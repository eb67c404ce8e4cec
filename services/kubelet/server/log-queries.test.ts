/** Log queries of the kubelet's server: files, the journal by a stand-in, and clear words about the rest. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLogger } from '#foundation/base/log.ts';
import { createRegistry } from '#foundation/base/metrics.ts';
import { systemClock } from '#foundation/base/time.ts';
import { withDefaults } from '../configuration/defaults.ts';
import { createKubeletServer, type ServerDeps } from './server.ts';

const root = mkdtempSync('/tmp/skiff-jnl-');
const program = join(root, 'journalctl');
const stops: (() => Promise<void>)[] = [];

/** A server on a unix socket of that name. */
async function serve(name: string, enableSystemLogQuery: boolean, journalctl: string): Promise<void> {
  const server = createKubeletServer({
    configuration: {
      ...withDefaults({}, true),
      address: '127.0.0.1',
      port: 0,
      healthzPort: 0,
      enableSystemLogQuery,
    },
    kubeletRoot: join(root, name),
    hostname: 'node-a',
    logRoot: join(root, 'log'),
    socket: join(root, `${name}.sock`),
    journalctl,
    view: { health: { syncLoopAge: () => 0 }, metrics: createRegistry() },
    node: { name: 'node-a', ips: () => ['127.0.0.1'] },
    statRoutes: [],
    clock: systemClock,
    log: silentLogger,
  } as unknown as ServerDeps);
  await server.start();
  stops.push(() => server.stop());
}

function ask(name: string, query: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      socketPath: join(root, `${name}.sock`),
      path: `/logs/?${query}`,
      agent: false,
    } as const;
    http
      .get(options, async (response) => {
        const body = Buffer.concat(await response.toArray()).toString();
        resolve({ status: response.statusCode ?? 0, body });
      })
      .on('error', reject);
  });
}

/** Stands in for journalctl(1): it knows two services, and repeats what it was asked. */
const journalctl = `#!/bin/sh
case "$*" in
  *--unit=none* | *--unit=syslog*) exit 0 ;;
  *--output=cat*) echo entry ;;
  *--grep=nothing*) exit 1 ;;
  *--boot=-9*) echo 'No such boot ID in journal' >&2; exit 1 ;;
  *) shift 3; printf '%s\\n' "$@" ;;
esac
`;
const narrowed =
  'boot=-1&pattern=a%20b&sinceTime=2026-01-02T03:04:05Z&untilTime=2026-01-02T05:04:05%2B01:00&tailLines=7';

before(async () => {
  mkdirSync(join(root, 'log'));
  writeFileSync(join(root, 'log', 'syslog'), 'line\n');
  symlinkSync('/etc/hostname', join(root, 'log', 'out'));
  writeFileSync(program, journalctl, { mode: 0o755 });
  for (const name of ['journal', 'none', 'unheeded']) mkdirSync(join(root, name));
  await serve('journal', true, program);
  await serve('none', true, join(root, 'nothing'));
  await serve('unheeded', false, program);
});
after(async () => {
  for (const stop of stops) await stop();
  rmSync(root, { recursive: true, force: true });
});

for (const [query, status, body] of [
  ['query=/syslog', 200, /^line\n$/],
  ['query=syslog', 200, /^line\n$/],
  ['query=/none', 404, /there is no log/],
  ['query=/out', 403, /./],
  ['query=/../../etc/passwd', 403, /./],
  ['query=/syslog&query=kubelet', 400, /read alone and whole/],
  ['query=/syslog&tailLines=1', 400, /read alone and whole/],
  ['query=kubelet', 200, /^--output=short-precise\n--unit=kubelet\n$/],
  ['query=kubelet&query=containerd', 200, /^--unit=kubelet\n--unit=containerd$/m],
  [
    `query=kubelet&${narrowed}`,
    200,
    /^--boot=-1\n--grep=a b\n--case-sensitive=false\n--since=2026-01-02 03:04:05\.000 UTC\n--until=2026-01-02 04:04:05\.000 UTC\n--lines=7$/m,
  ],
  ['query=kubelet&pattern=nothing', 200, /^$/],
  ['query=kubelet&boot=-9', 500, /No such boot/],
  ['query=none', 404, /neither the journal nor none.log/],
  ['query=kubelet&query=none', 404, /service "none"/],
  ['query=syslog&tailLines=1', 501, /only the journal can/],
  ['query=a%3Bb', 400, /"a;b" is no service/],
  ['query=-x%20y', 400, /is no service/],
  ['query=', 400, /is no service/],
  ['query=kubelet&boot=1', 400, /boot cannot be/],
  ['query=kubelet&tailLines=-1', 400, /tailLines cannot be/],
  ['query=kubelet&sinceTime=yesterday', 400, /sinceTime cannot be/],
  ['query=kubelet&pattern=', 400, /pattern cannot be/],
] as const)
  test(`log query ${query}: ${status}`, async () => {
    const answer = await ask('journal', query);
    assert.equal(answer.status, status, answer.body);
    assert.match(answer.body, body);
  });

test('log queries on a node without a journal, and on one that heeds none', async () => {
  assert.equal((await ask('none', 'query=syslog')).body, 'line\n');
  assert.equal((await ask('none', 'query=kubelet')).status, 404);
  assert.match((await ask('unheeded', 'query=kubelet')).body, /syslog/, 'the list of files');
});
