import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';

/** Runs in a network of its own, whose connections are tracked since a rule asks for it. */
const script = `
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { forgetUdpFlows } from ${JSON.stringify(new URL('./conntrack.ts', import.meta.url).href)};
execFileSync('ip', ['link', 'set', 'lo', 'up']);
execFileSync('ip', ['address', 'add', '127.0.0.2/8', 'dev', 'lo']);
const rules = ['ip', 'ip6'].flatMap((family) => [
  'add table ' + family + ' t',
  'add chain ' + family + ' t c { type nat hook output priority -100 ; }',
  'add rule ' + family + ' t c udp dport 9 redirect',
]);
execFileSync('nft', ['-f', '-'], { input: rules.join('\\n') + '\\n' });
const send = async (kind, port, address) => {
  const socket = createSocket(kind);
  await new Promise((done) => socket.send('x', port, address, done));
  socket.close();
};
await send('udp4', 5301, '127.0.0.1');
await send('udp4', 5301, '127.0.0.2');
await send('udp4', 5302, '127.0.0.1');
await send('udp6', 5301, '::1');
const tracked = () => readFileSync('/proc/net/nf_conntrack', 'utf8').split('\\n').filter((line) => / udp /.test(line) && /dport=530/.test(line)).length;
const counts = [tracked()];
const one = forgetUdpFlows({ family: 'ip', port: 5301, address: Uint8Array.of(127, 0, 0, 2) });
counts.push(tracked());
const other = forgetUdpFlows({ family: 'ip', port: 5301 });
counts.push(tracked());
const six = forgetUdpFlows({ family: 'ip6', port: 5301 });
const none = forgetUdpFlows({ family: 'ip', port: 5301 });
counts.push(tracked());
console.log(JSON.stringify({ counts, removed: [one, other, six, none] }));
`;

const skip = !existsSync('/proc/net/nf_conntrack') || !existsSync('/usr/sbin/nft');

test('UDP flows to a port are forgotten, and no others', { skip }, () => {
  const args = [
    '--net',
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    '--input-type=module',
    '-e',
    script,
  ];
  const output = execFileSync('unshare', args, { encoding: 'utf8', cwd: process.cwd() });
  const { counts, removed } = JSON.parse(output);
  assert.deepEqual(removed, [1, 1, 1, 0]);
  assert.deepEqual(counts, [4, 3, 2, 1]);
});
