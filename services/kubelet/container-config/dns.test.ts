/** Limits and merging of resolv.conf (kubelet-facts 6), beside the policies in builder.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { parseResolvConf, podDns } from './dns.ts';

const settings = { clusterDns: ['10.0.0.10'], clusterDomain: 'cluster.local', resolvConf: '' };

const dnsOf = (dnsConfig: object, dnsPolicy = 'None') =>
  podDns(
    { metadata: { name: 'p', namespace: 'ns' }, spec: { containers: [], dnsPolicy, dnsConfig } } as Pod,
    settings,
  );

const numbered = (count: number, length = 5) =>
  Array.from({ length: count }, (_, index) => `${index}`.padStart(length - 2, 's').concat('.x'));

const rows: [string, object, (dns: ReturnType<typeof dnsOf>['dns']) => unknown, unknown, boolean][] = [
  [
    'three servers are kept',
    { nameservers: ['1.1.1.1', '2.2.2.2', '3.3.3.3'] },
    (dns) => dns.servers.length,
    3,
    false,
  ],
  [
    'the fourth is left out',
    { nameservers: ['1.1.1.1', '2.2.2.2', '3.3.3.3', '4.4.4.4'] },
    (dns) => dns.servers,
    ['1.1.1.1', '2.2.2.2', '3.3.3.3'],
    true,
  ],
  [
    'one server twice counts once',
    { nameservers: ['1.1.1.1', '1.1.1.1'] },
    (dns) => dns.servers,
    ['1.1.1.1'],
    false,
  ],
  ['32 searches are kept', { searches: numbered(32) }, (dns) => dns.searches.length, 32, false],
  ['the 33rd is left out', { searches: numbered(33) }, (dns) => dns.searches.length, 32, true],
  [
    '2048 characters are kept',
    { searches: numbered(15, 127).concat('y'.repeat(128)) },
    (dns) => dns.searches.length,
    16,
    false,
  ],
  [
    'one more leaves a domain out',
    { searches: numbered(15, 127).concat('y'.repeat(129)) },
    (dns) => dns.searches.length,
    15,
    true,
  ],
  [
    'an option is replaced in its place',
    { options: [{ name: 'ndots', value: '1' }, { name: 'edns0' }, { name: 'ndots', value: '2' }] },
    (dns) => dns.options,
    ['ndots:2', 'edns0'],
    false,
  ],
];

for (const [rule, config, pick, wanted, warned] of rows) {
  test(`DNS: ${rule}`, () => {
    const { dns, warnings } = dnsOf({ nameservers: ['9.9.9.9'], ...config });
    assert.deepEqual(pick(dns), wanted);
    assert.deepEqual(
      warnings.map(({ reason }) => reason),
      warned ? ['DNSConfigForming'] : [],
    );
  });
}

test('DNS: the cluster’s searches come first and count for the limit', () => {
  const { dns } = dnsOf({ searches: numbered(32) }, 'ClusterFirst');
  assert.deepEqual(dns.searches.slice(0, 4), [
    'ns.svc.cluster.local',
    'svc.cluster.local',
    'cluster.local',
    'sss0.x'.slice(1),
  ]);
  assert.equal(dns.searches.length, 32);
});

test('DNS: a node without a file of its own gives a pod none, rather than the runtime’s', () => {
  assert.deepEqual(dnsOf({}, 'Default').dns, { servers: ['127.0.0.1'], searches: ['.'], options: [] });
});

test('resolv.conf: comments, the last search line, the root domain, options of several lines', () => {
  const text =
    '# words\n; more\nnameserver 192.0.2.1\nsearch old\nsearch lan. . corp\noptions ndots:2 rotate\noptions ndots:3\n';
  assert.deepEqual(parseResolvConf(text), {
    servers: ['192.0.2.1'],
    searches: ['lan', 'corp'],
    options: ['ndots:3', 'rotate'],
  });
});
