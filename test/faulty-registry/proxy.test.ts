/** Pulls through a proxy, from registries whose names only the proxy knows. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { parseReference } from '#services/cri-server/images/reference.ts';
import { createRegistryClient } from '#services/cri-server/images/registry/client.ts';
import { authority, certificateFor } from './certificates.ts';
import { readAll, sha256 } from './sample.ts';
import { startFaultyRegistry } from './server.ts';

const domain = 'registry.invalid';

/** A proxy that leads every name to one address. @returns its port and what it was asked for. */
async function startProxy(t: TestContext, target: string) {
  const [host = '', port = ''] = target.split(':');
  const asked: string[] = [];
  const proxy = createServer((incoming, response) => {
    const url = new URL(incoming.url ?? '');
    asked.push(`${incoming.method} ${url.host}`);
    const { method, headers } = incoming;
    const onward = request({ host, port, method, headers, path: url.pathname + url.search }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    incoming.pipe(onward);
  });
  const tunnels = new Set<Duplex>();
  proxy.on('connect', (incoming: IncomingMessage, socket: Duplex) => {
    asked.push(`CONNECT ${incoming.url}`);
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    for (const end of [socket, onward]) {
      tunnels.add(end);
      end.on('error', () => {});
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    for (const tunnel of tunnels) tunnel.destroy();
    proxy.closeAllConnections();
    proxy.close();
  });
  return { uri: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}

async function pullThrough(
  t: TestContext,
  hostsToml: string,
  proxy: string,
  target: { layerDigest: string },
) {
  const certsDir = mkdtempSync('/tmp/skiff-certs-');
  t.after(() => rmSync(certsDir, { recursive: true }));
  mkdirSync(`${certsDir}/${domain}`);
  writeFileSync(`${certsDir}/${domain}/hosts.toml`, hostsToml);
  const limits = { attempts: 1, connectMs: 3000 };
  const settings = { httpProxy: proxy, httpsProxy: proxy };
  const client = createRegistryClient({ certsDirs: [certsDir], proxy: settings, limits });
  t.after(() => client.close());
  const reference = parseReference(`${domain}/app:v1`);
  const { bytes } = await client.resolve(reference);
  const [layer] = JSON.parse(bytes.toString()).layers;
  assert.equal(sha256(await readAll(await client.openBlob(reference, layer))), target.layerDigest);
}

test('an http registry behind a proxy', async (t) => {
  await using registry = await startFaultyRegistry();
  const { uri, asked } = await startProxy(t, registry.address);
  const target = { layerDigest: registry.image.layer.digest };
  await pullThrough(t, `server = "http://${domain}"\n`, uri, target);
  assert.deepEqual(asked, [`GET ${domain}`, `GET ${domain}`]);
});

test('an https registry behind a proxy: its own certificate is what is verified', async (t) => {
  await using registry = await startFaultyRegistry({ tls: await certificateFor(domain) });
  const { uri, asked } = await startProxy(t, registry.address);
  const target = { layerDigest: registry.image.layer.digest };
  await pullThrough(t, `server = "https://${domain}"\nca = "${authority.path}"\n`, uri, target);
  assert.equal(asked[0], `CONNECT ${domain}:443`);
  await assert.rejects(
    pullThrough(t, `server = "https://${domain}"\n`, uri, target),
    /signed by an unknown authority/,
  );
});

test('a proxy that is not there, and one that refuses', async (t) => {
  const refusing = createServer();
  refusing.on('connect', (_incoming, socket) =>
    socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'),
  );
  refusing.listen(0, '127.0.0.1');
  await once(refusing, 'listening');
  t.after(() => refusing.close());
  const target = { layerDigest: '' };
  const toml = `server = "https://${domain}"\n`;
  const gone = pullThrough(t, toml, 'http://127.0.0.1:1', target);
  await assert.rejects(
    gone,
    /^SkiffError: RegistryUnavailable: .*registry\.invalid.*ECONNREFUSED 127\.0\.0\.1:1/,
  );
  const uri = `http://127.0.0.1:${(refusing.address() as AddressInfo).port}`;
  await assert.rejects(pullThrough(t, toml, uri, target), /^SkiffError: RegistryUnavailable: .*\(407\)/);
});
