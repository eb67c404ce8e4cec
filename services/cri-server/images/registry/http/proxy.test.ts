import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { defaultTls } from '../hosts/host.ts';
import { defaultLimits } from '../limits.ts';
import { createDispatchers } from './dispatchers.ts';
import { proxyFor } from './proxy.ts';

const proxies = { httpProxy: 'http://plain:3128', httpsProxy: 'secure:3129' };

const cases: [url: string, noProxy: string, expected: string | undefined][] = [
  ['http://quay.io/', '', 'http://plain:3128'],
  ['https://quay.io/', '', 'http://secure:3129'],
  ['https://localhost:5000/', '', undefined],
  ['https://127.0.0.1/', '', undefined],
  ['https://[::1]:5000/', '', undefined],
  ['https://quay.io/', '*', undefined],
  ['https://quay.io/', 'quay.io', undefined],
  ['https://cdn.quay.io/', ' quay.io ,x', undefined],
  ['https://notquay.io/', 'quay.io', 'http://secure:3129'],
  ['https://quay.io/', '.quay.io', 'http://secure:3129'],
  ['https://cdn.quay.io/', '.quay.io', undefined],
  ['https://cdn.quay.io/', '*.quay.io', undefined],
  ['https://QUAY.io/', 'Quay.IO', undefined],
  ['https://quay.io:8443/', 'quay.io:8443', undefined],
  ['https://quay.io/', 'quay.io:443', undefined],
  ['https://quay.io/', 'quay.io:8443', 'http://secure:3129'],
  ['https://10.1.2.3/', '10.0.0.0/8', undefined],
  ['https://11.1.2.3/', '10.0.0.0/8', 'http://secure:3129'],
  ['https://10.1.2.3/', '10.1.2.3', undefined],
  ['https://10.1.2.3:5000/', '10.1.2.3:5000', undefined],
  ['https://[fd00::5]/', 'fd00::/8', undefined],
  ['https://[fd00::5]:5000/', '[fd00::5]:5000', undefined],
  ['https://[fd00::5]/', 'fd00::5', undefined],
  ['https://10.1.2.3/', '10.0.0.0/99', 'http://secure:3129'],
];

for (const [url, noProxy, expected] of cases)
  test(`proxy of ${url} with NO_PROXY "${noProxy}": ${expected ?? 'none'}`, () => {
    assert.equal(proxyFor(new URL(url), { ...proxies, noProxy }), expected);
  });

test('an unusable proxy address is told without its password', () => {
  assert.throws(
    () => proxyFor(new URL('https://quay.io'), { httpsProxy: 'ftp://user:secret@proxy' }),
    /Cannot use proxy "ftp:\/\/\*\*\*@proxy"/,
  );
});

test('requests go through the proxy: http in full form, https by CONNECT, both with its login', async (t) => {
  const seen: string[] = [];
  const note = ({ method, url, headers }: IncomingMessage) =>
    seen.push(`${method} ${url} ${Buffer.from((headers['proxy-authorization'] ?? '').slice(6), 'base64')}`);
  const proxy = createServer((request, response) => {
    note(request);
    response.end('from the proxy');
  });
  proxy.on('connect', (request: IncomingMessage, socket) => {
    note(request);
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  const uri = `http://user:pa%40ss@127.0.0.1:${port}`;
  const settings = { httpProxy: uri, httpsProxy: uri };
  const dispatchers = createDispatchers({ proxy: settings, limits: defaultLimits });
  t.after(async () => {
    await dispatchers.close();
    proxy.closeAllConnections();
    proxy.close();
  });
  const get = async (url: URL) => {
    const dispatcher = await dispatchers.get({ url, tls: defaultTls, connectMs: 1000 });
    return dispatcher.request({ origin: url.origin, path: url.pathname, method: 'GET' });
  };

  const { body } = await get(new URL('http://registry.invalid/v2/'));
  assert.equal(await body.text(), 'from the proxy');
  await assert.rejects(get(new URL('https://registry.invalid/v2/')));
  assert.deepEqual(seen.slice(0, 2), [
    'GET http://registry.invalid/v2/ user:pa@ss',
    'CONNECT registry.invalid:443 user:pa@ss',
  ]);
});

test('the same route has the same pool, another certificate another', async (t) => {
  const dispatchers = createDispatchers({ proxy: {}, limits: defaultLimits });
  t.after(() => dispatchers.close());
  const route = { url: new URL('http://127.0.0.1:1/a'), tls: defaultTls, connectMs: 1000 };
  const first = await dispatchers.get(route);
  assert.equal(await dispatchers.get({ ...route, url: new URL('http://127.0.0.1:1/b') }), first);
  assert.notEqual(await dispatchers.get({ ...route, tls: { ...defaultTls, ca: ['x'] } }), first);
  for (let port = 2; port < 80; port += 1)
    await dispatchers.get({ ...route, url: new URL(`http://127.0.0.1:${port}/`) });
  assert.notEqual(await dispatchers.get(route), first, 'pools that are not used are closed');
});
