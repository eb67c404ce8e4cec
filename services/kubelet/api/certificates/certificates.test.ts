/** Certificates from a cluster: bootstrap, renewal, refusals, and the client taking a new one up. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { type ApiClient, openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { CertificateSigningRequest, KubeList } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { type Clock, systemClock } from '#foundation/base/time.ts';
import { createKubeApi, type KubeApi } from '#services/kube-api/index.ts';
import { testApiConfig } from '#services/kube-api/testing/config.ts';
import type { RestRequest } from '../../ports.ts';
import { rest } from '../rest.ts';
import { bootstrap } from './bootstrap.ts';
import { certificateRequest, newKey } from './key.ts';
import { clientWish, requestCertificate, servingWish } from './request.ts';
import { keepCertificate, renewalTime } from './rotate.ts';
import { openCertificates } from './store.ts';

const csrs = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const logger = silentLogger;
const clock = systemClock;
const never = new AbortController().signal;

let root = '';
let api: KubeApi;
let admin: ApiClient;
before(async () => {
  root = mkdtempSync('/tmp/skiff-cert-');
  api = createKubeApi({ ...testApiConfig(join(root, 'api')), logger });
  await api.start();
  admin = openApi(loadKubeconfig(api.adminKubeconfigPath));
});
after(async () => {
  await admin.close();
  await api.stop();
  rmSync(root, { recursive: true });
});

const through = (client: ApiClient) => ({ request: <T>(request: RestRequest) => rest<T>(client, request) });

/** Answers the first request that waits for an administrator, or those of these names. */
async function answer(type: 'Approved' | 'Denied', ...names: string[]): Promise<void> {
  for (let done = 0; done < Math.max(1, names.length); await wait(20)) {
    const { items } = await admin.get<KubeList<CertificateSigningRequest>>(csrs);
    const waiting = items.filter(({ status }) => (status?.conditions ?? []).length === 0);
    for (const csr of waiting.filter(({ metadata }) => names.length === 0 || names.includes(metadata.name))) {
      csr.status = { conditions: [{ type, status: 'True', reason: 'Test', message: 'by the test' }] };
      await admin.update(`${csrs}/${csr.metadata.name}/approval`, csr);
      done += 1;
    }
  }
}

test('a node without a certificate asks for one, writes its kubeconfig, and does not ask again', async () => {
  const store = openCertificates(join(root, 'b', 'pki'), 'kubelet-client');
  const kubeconfig = join(root, 'b', 'kubeconfig');
  const deps = {
    nodeName: 'n7',
    bootstrapKubeconfig: api.adminKubeconfigPath,
    kubeconfig,
    store,
    clock,
    logger,
  };
  await Promise.all([bootstrap(deps, never), answer('Approved')]);
  const { subject } = new X509Certificate(store.current()?.cert ?? '');
  assert.equal(subject, 'O=system:nodes\nCN=system:node:n7');
  assert.equal(lstatSync(store.currentPath).isSymbolicLink(), true);
  assert.equal(existsSync(join(root, 'b', 'pki', 'kubelet-client.key.tmp')), false);
  await using node = openApi(loadKubeconfig(kubeconfig));
  const made = await node.create<{ metadata: { name: string } }>('/api/v1/nodes', {
    metadata: { name: 'n7' },
  });
  assert.equal(made.metadata.name, 'n7');
  const count = async () => (await admin.get<KubeList<CertificateSigningRequest>>(csrs)).items.length;
  const before = await count();
  await bootstrap(deps, never);
  assert.equal(await count(), before);
});

test('a bootstrap that was cut short goes on with the same request; one that was denied says so', async () => {
  const store = openCertificates(join(root, 'c', 'pki'), 'kubelet-client');
  const kubeconfig = join(root, 'c', 'kubeconfig');
  const deps = {
    nodeName: 'n8',
    bootstrapKubeconfig: api.adminKubeconfigPath,
    kubeconfig,
    store,
    clock,
    logger,
  };
  const cut = new AbortController();
  const first = bootstrap(deps, cut.signal);
  const named = async () =>
    (await admin.get<KubeList<CertificateSigningRequest>>(csrs)).items.filter(
      ({ status }) => (status?.conditions ?? []).length === 0,
    );
  while ((await named()).length === 0) await wait(10);
  cut.abort(new Error('the process ends'));
  await assert.rejects(first);
  assert.equal(existsSync(kubeconfig), false);
  const key = store.pendingKey();
  const again = bootstrap(deps, never);
  const denied = assert.rejects(again, {
    code: 'PERMISSION_DENIED',
    message: /was denied: Test: by the test/,
  });
  await wait(50);
  assert.equal((await named()).length, 1);
  await answer('Denied');
  await denied;
  assert.notEqual(store.pendingKey(), key, 'another key makes another request');
});

test('a certificate is renewed at 70 to 90 % of its life, with patience for failures', async () => {
  const store = openCertificates(join(root, 'd', 'pki'), 'kubelet-client');
  await using node = openApi(loadKubeconfig(api.nodeKubeconfigPath));
  const stop = new AbortController();
  let skipped = 0;
  const pauses: number[] = [];
  // Sleeping passes at once, and the clock goes on by as much.
  const quick: Clock = {
    now: () => Date.now() + skipped,
    monotonic: () => performance.now() + skipped,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      pauses.push(ms);
      skipped += ms > 5_000 ? ms : 0;
      if (ms < 5_000) await wait(Math.min(ms, 20));
    },
  };
  let failing = 2;
  const flaky = {
    request: async <T>(request: RestRequest) => {
      if (failing > 0 && store.current() !== undefined) {
        failing -= 1;
        throw new Error('the API is away');
      }
      return rest<T>(node, request);
    },
  };
  const got: string[] = [];
  const wish = () => servingWish('n1', ['n1', '10.0.0.1']);
  const deps = { api: flaky, clock: quick, logger, store, random: () => 0 };
  await keepCertificate(
    deps,
    wish,
    ({ cert }) => {
      got.push(new X509Certificate(cert).subjectAltName ?? '');
      if (got.length === 2) stop.abort();
    },
    stop.signal,
  );
  assert.deepEqual(got, ['DNS:n1, IP Address:10.0.0.1', 'DNS:n1, IP Address:10.0.0.1']);
  assert.ok(skipped > 0.69 * 365 * 24 * 3_600_000 && skipped < 0.75 * 365 * 24 * 3_600_000, `${skipped}`);
  assert.ok(pauses.includes(2_000) && pauses.includes(4_000), 'pauses grow after failures');
  const kept = readdirSync(join(root, 'd', 'pki')).filter((name) => /^kubelet-client-\d/.test(name));
  assert.equal(kept.length, 2);
  const identity = store.current();
  const { validFrom, validTo } = new X509Certificate(identity?.cert ?? '');
  const life = Date.parse(validTo) - Date.parse(validFrom);
  assert.equal(renewalTime(identity, 0.5), Date.parse(validFrom) + life * 0.8);
});

test('a node gets no more than itself: other names and groups wait or are refused', async () => {
  await using node = openApi(loadKubeconfig(api.nodeKubeconfigPath));
  const key = newKey();
  const ask = async (
    name: string,
    signerName: string,
    subject: Parameters<typeof certificateRequest>[1],
    usage: string,
  ) => {
    const request = Buffer.from(await certificateRequest(key, subject)).toString('base64');
    await node.create(csrs, { metadata: { name }, spec: { request, signerName, usages: [usage] } });
  };
  const kubelet = 'kubernetes.io/kube-apiserver-client-kubelet';
  const masters = { commonName: 'system:node:n1', organization: 'system:masters' };
  await ask('greedy', kubelet, masters, 'client auth');
  await ask('other', kubelet, { commonName: 'system:node:n2', organization: 'system:nodes' }, 'client auth');
  await ask('plain', 'kubernetes.io/kube-apiserver-client', masters, 'client auth');
  await ask(
    'nameless',
    'kubernetes.io/kubelet-serving',
    { ...masters, organization: 'system:nodes' },
    'server auth',
  );
  await ask('usage', kubelet, { ...masters, organization: 'system:nodes' }, 'server auth');
  // The rest are by the node for itself, and approved at once.
  await answer('Approved', 'other', 'plain');
  const settled = async (name: string) => {
    for (let tries = 0; tries < 200; tries += 1) {
      const { status } = await admin.get<CertificateSigningRequest>(`${csrs}/${name}`);
      const failed = status?.conditions?.find(({ type }) => type === 'Failed');
      if (failed !== undefined) return failed.message;
      if (status?.certificate !== undefined) return 'signed';
      await wait(20);
    }
    throw new Error(`${name} was never settled`);
  };
  assert.match(String(await settled('greedy')), /organization is not system:nodes/);
  assert.match(String(await settled('plain')), /system:masters group is not allowed/);
  assert.match(String(await settled('nameless')), /needs a DNS name or an address/);
  assert.match(String(await settled('usage')), /did not contain client auth/);
  assert.equal(await settled('other'), 'signed', 'an administrator may approve it');
});

test('calls take a new certificate up from its file, without a pause', async () => {
  const store = openCertificates(join(root, 'e', 'pki'), 'kubelet-client');
  const kubeconfig = join(root, 'e', 'kubeconfig');
  const deps = {
    nodeName: 'n9',
    bootstrapKubeconfig: api.adminKubeconfigPath,
    kubeconfig,
    store,
    clock,
    logger,
  };
  await Promise.all([bootstrap(deps, never), answer('Approved')]);
  await using client = openApi(loadKubeconfig(kubeconfig), { identityCheckMs: 0 });
  const whoAmI = async () => {
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const review = await client.create<{ status: { userInfo: { username: string } } }>(path, {});
    return review.status.userInfo.username;
  };
  assert.equal(await whoAmI(), 'system:node:n9');
  const key = store.pendingKey();
  const asking = requestCertificate({ api: through(admin), clock }, key, clientWish('n10'), never);
  await answer('Approved');
  store.save(await asking, key, Date.now());
  assert.equal(await whoAmI(), 'system:node:n10');
  rmSync(store.currentPath);
  assert.equal(await whoAmI(), 'system:node:n10', 'a file that is away for a moment changes nothing');
  assert.match(readFileSync(kubeconfig, 'utf8'), /kubelet-client-current\.pem/);
});
