/** The configuration file's keys of the CRI server reach it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { loadConfig } from '../config/load.ts';
import { serverConfig } from './cri-service.ts';

function read(t: TestContext, text: string, files: Record<string, string> = {}) {
  const root = mkdtempSync('/tmp/skiff-cfg-');
  t.after(() => rmSync(root, { recursive: true }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(root, name), content);
  writeFileSync(join(root, 'config.yaml'), text.replaceAll('ROOT', root));
  const paths = pathsUnder(root);
  return serverConfig(paths, loadConfig(paths, join(root, 'config.yaml')).cri, silentLogger);
}

test('nothing said: no metrics, NRI at its customary places, streaming without TLS', (t) => {
  const config = read(t, '{}');
  assert.equal(config.metrics, undefined);
  assert.deepEqual(config.nri, { enabled: true });
  assert.equal(config.streaming?.tls, undefined);
  assert.equal(config.cdiDirectories, undefined);
});

test('metrics, NRI, CDI and TLS are taken over', (t) => {
  const config = read(
    t,
    `cri:
  metricsPort: 0
  metricsAddress: "::1"
  cdiDirectories: [/etc/devices]
  streamingCertificateFile: ROOT/cert
  streamingKeyFile: ROOT/key
  nri: {enabled: false, socket: /run/x.sock, requestTimeoutMs: 9000}
`,
    { cert: 'a certificate', key: 'a key' },
  );
  assert.deepEqual(config.metrics, { address: '::1', port: 0 });
  assert.deepEqual(config.nri, { enabled: false, socket: '/run/x.sock', requestTimeoutMs: 9000 });
  assert.deepEqual(config.cdiDirectories, ['/etc/devices']);
  assert.deepEqual(config.streaming?.tls, { cert: 'a certificate', key: 'a key' });
});

test('half of a key pair, a missing file and an unknown key are refused with their names', (t) => {
  const half = 'cri: {streamingKeyFile: ROOT/key}';
  assert.throws(
    () => read(t, half, { key: 'k' }),
    /streamingCertificateFile and cri.streamingKeyFile belong together/,
  );
  const absent = 'cri: {streamingKeyFile: ROOT/key, streamingCertificateFile: ROOT/none}';
  assert.throws(() => read(t, absent, { key: 'k' }), /streaming over TLS.*none/);
  assert.throws(() => read(t, 'cri: {nri: {sockets: x}}'), /nri.*sockets/s);
});
