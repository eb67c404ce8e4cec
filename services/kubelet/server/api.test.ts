/** The kubelet's API over a real pod on Debian's containerd: exec, attach, port-forward, logs, statistics, metrics. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { CriClient } from '#contracts/cri/client.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { connectPortForward, connectRemoteCommand } from '#foundation/stream/index.ts';
import { containerdInstalled, startContainerd } from '../../../test/peers/containerd.ts';
import { loadConfiguration } from '../configuration/load.ts';
import { createKubelet, type Kubelet } from '../kubelet.ts';
import { endKubelet } from '../testing/end-kubelet.ts';
import { quietKubelet } from '../testing/quiet.ts';

const skip = containerdInstalled ? false : 'needs Debian package containerd';

const manifest = `apiVersion: v1
kind: Pod
metadata: { name: web }
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: skiff.test/busybox:1
    command: [sh, -c, 'echo started; mkdir /www; echo page > /www/index.html; exec httpd -f -p 8080 -h /www']
`;

async function until<T>(what: string, check: () => T | undefined | false, ms = 120_000): Promise<T> {
  for (const end = Date.now() + ms; Date.now() < end; await wait(20)) {
    const found = check();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`not within ${ms} ms: ${what}`);
}

function get(port: number, path: string, method = 'GET'): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      path,
      method,
      rejectUnauthorized: false,
      agent: false,
    } as const;
    const request = https.request(options, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.on('error', reject);
    request.end();
  });
}

async function textOf(stream: Readable): Promise<string> {
  return Buffer.concat(await stream.toArray()).toString();
}

async function runs(kubelet: Kubelet): Promise<number> {
  await until('the pod runs', () => {
    const status = kubelet.services.view.find('default', 'web-node1')?.status;
    return status?.containerStatuses?.[0]?.state?.running !== undefined;
  });
  return kubelet.ports().get('secure') ?? 0;
}

async function execs(port: number, transport: 'spdy' | 'websocket'): Promise<void> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const command = ['sh', '-c', 'cat; echo oops >&2; exit 7']
    .map((word) => `command=${encodeURIComponent(word)}`)
    .join('&');
  const session = await connectRemoteCommand(
    `https://127.0.0.1:${port}/exec/default/web-node1/c?${command}&input=1&output=1&error=1`,
    {
      transport,
      tty: false,
      stdin: Readable.from([Buffer.from('through')]),
      stdout,
      stderr,
      tls: { rejectUnauthorized: false },
    },
  );
  assert.equal(await session.exitCode, 7, transport);
  stdout.end();
  stderr.end();
  assert.equal(await textOf(stdout), 'through', transport);
  assert.equal(await textOf(stderr), 'oops\n', transport);
}

async function forwards(port: number, transport: 'spdy' | 'tunnel'): Promise<void> {
  const url = `https://127.0.0.1:${port}/portForward/default/web-node1`;
  const client = await connectPortForward(url, { transport, tls: { rejectUnauthorized: false } });
  const { data } = await client.open(8080);
  data.end('GET / HTTP/1.0\r\n\r\n');
  assert.match(await textOf(data), /page\n$/, transport);
  await client.close();
}

async function tells(port: number): Promise<void> {
  assert.equal((await get(port, '/containerLogs/default/web-node1/c')).body, 'started\n');
  assert.equal(
    (await get(port, '/run/default/web-node1/c?cmd=cat%20/www/index.html', 'POST')).body,
    'page\n',
  );
  const summary = JSON.parse((await get(port, '/stats/summary')).body);
  assert.equal(summary.pods[0].podRef.name, 'web-node1');
  assert.ok(summary.pods[0].containers[0].memory.workingSetBytes > 0);
  assert.ok(summary.node.memory.availableBytes > 0);
  const metrics = (await get(port, '/metrics')).body;
  for (const name of [
    'kubelet_running_pods',
    'kubelet_runtime_operations_total',
    'kubelet_http_requests_total',
  ])
    assert.match(metrics, new RegExp(`^${name}`, 'm'));
  assert.match(
    (await get(port, '/metrics/resource')).body,
    /^pod_memory_working_set_bytes\{.*pod="web-node1"\} [1-9]/m,
  );
  assert.match(
    (await get(port, '/metrics/cadvisor')).body,
    /^container_cpu_usage_seconds_total\{container="c"/m,
  );
  assert.equal((await get(port, '/runningpods/')).status, 200);
}

/** A kubelet on a port that is taken: it must say so and stop what it began, or this test would never end. */
async function secondOn(port: number, root: string, cri: CriClient): Promise<void> {
  mkdirSync(join(root, 'manifests'), { recursive: true });
  const overrides = { ...quietKubelet, staticPodPath: join(root, 'manifests'), port };
  const kubelet = createKubelet({
    paths: pathsUnder(root),
    cri,
    configuration: loadConfiguration({ overrides }),
    clock: systemClock,
    logger: silentLogger,
    nodeName: 'node2',
  });
  await kubelet.start();
}

test('a pod over the kubelet’s API', { skip }, async () => {
  await using undo = new AsyncDisposableStack();
  const peer = await startContainerd(83);
  undo.defer(() => peer.stop());
  const root = mkdtempSync('/tmp/skiff-api-');
  undo.defer(() => {
    unmountTree(root);
    rmSync(root, { recursive: true, force: true });
  });
  const manifests = join(root, 'manifests');
  mkdirSync(manifests);
  const overrides = { ...quietKubelet, staticPodPath: manifests };
  const kubelet = createKubelet({
    paths: pathsUnder(root),
    cri: peer.cri,
    configuration: loadConfiguration({ overrides, legacyWithoutFile: true }),
    clock: systemClock,
    logger: silentLogger,
    nodeName: 'node1',
  });
  await kubelet.start();
  undo.defer(() => endKubelet(kubelet));
  writeFileSync(join(manifests, 'web.yaml'), manifest);
  const port = await runs(kubelet);
  await execs(port, 'spdy');
  await execs(port, 'websocket');
  await forwards(port, 'spdy');
  await forwards(port, 'tunnel');
  await tells(port);
  await assert.rejects(
    secondOn(port, join(root, 'second'), peer.cri),
    new RegExp(`Cannot serve the kubelet's API on .*:${port}`),
  );
  unlinkSync(join(manifests, 'web.yaml'));
  await until('the pod is gone', () => kubelet.services.view.runningPods().length === 0);
});
