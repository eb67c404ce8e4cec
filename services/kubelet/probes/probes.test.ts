import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { Health, HealthCheckResponse_ServingStatus } from '#contracts/health/health_pb.ts';
import type { ContainerStatus, Pod, PodStatus, Probe } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { type FakeClock, fakeClock } from '#foundation/base/fake-clock.ts';
import { createRpcServer } from '#foundation/grpc/server.ts';
import type { ProbeKind, ProbeUpdate } from '../ports.ts';
import { createAttempt } from './attempt.ts';
import { createProber, portNumber } from './handlers.ts';
import { headersOf } from './http.ts';
import type { Outcome } from './outcome.ts';
import { createProbeManager } from './probes.ts';

const uid = 'u1';

/** A manager over a fake clock whose probes answer what the test says. */
function setup(kind: ProbeKind, probe: Partial<Probe>, spec: Partial<Pod['spec']> = {}, random = 0) {
  const clock = fakeClock();
  const pod: Pod = {
    metadata: { name: 'p', namespace: 'ns', uid },
    spec: {
      containers: [{ name: 'c', image: 'i', [`${kind}Probe`]: { exec: { command: ['x'] }, ...probe } }],
      ...spec,
    },
  };
  const state = {
    status: running(clock, 'one'),
    answer: 'success' as Outcome['result'] | Error,
    probes: [] as number[],
  };
  const events: string[] = [];
  const updates: string[] = [];
  const manager = createProbeManager({
    statuses: { status: () => state.status },
    clock,
    random: () => random,
    attempt: createAttempt({
      prober: async () => {
        state.probes.push(clock.monotonic() / 1000);
        if (state.answer instanceof Error) throw state.answer;
        return { result: state.answer, output: 'said' };
      },
      events: { pod: (_pod, _type, reason, message) => events.push(`${reason}: ${message}`) },
      count: () => {},
    }),
  });
  manager.subscribe((update: ProbeUpdate) => updates.push(`${update.containerId} ${update.result}`));
  return { clock, pod, state, manager, events, updates };
}

function running(clock: FakeClock, id: string, more: Partial<ContainerStatus> = {}): PodStatus {
  const startedAt = new Date(clock.now()).toISOString();
  const status = {
    name: 'c',
    containerID: `skiff://${id}`,
    started: true,
    state: { running: { startedAt } },
    ...more,
  };
  return { phase: 'Running', podIP: '127.0.0.1', containerStatuses: [status as ContainerStatus] };
}

test('readiness begins as failure, settles after its thresholds, and only changes are told', async () => {
  const { clock, pod, state, manager, updates, events } = setup('readiness', {
    periodSeconds: 2,
    successThreshold: 2,
    failureThreshold: 3,
  });
  manager.add(pod);
  manager.add(pod);
  await clock.advance(0);
  assert.equal(manager.result('readiness', 'one'), 'failure');
  await clock.advance(2000);
  assert.equal(manager.result('readiness', 'one'), 'success');
  state.answer = 'failure';
  await clock.advance(4000);
  assert.equal(manager.result('readiness', 'one'), 'success', 'two failures are not enough');
  await clock.advance(2000);
  assert.equal(manager.result('readiness', 'one'), 'failure');
  assert.deepEqual(updates, ['one failure', 'one success', 'one failure']);
  assert.equal(events[0], 'Unhealthy: Readiness probe failed: said');
  assert.deepEqual(state.probes, [0, 2, 4, 6, 8], 'one worker, on its beat');
  manager.remove(uid);
  assert.equal(manager.result('readiness', 'one'), undefined);
  await clock.advance(10_000);
  assert.equal(state.probes.length, 5, 'a removed worker probes no more');
});

test('the first probes after the kubelet’s start are spread over their period, later ones begin at once', async () => {
  const { clock, pod, state, manager } = setup('readiness', { periodSeconds: 10 }, {}, 0.4);
  manager.add(pod);
  await clock.advance(3999);
  assert.deepEqual(state.probes, []);
  await clock.advance(1);
  assert.deepEqual(state.probes, [4]);
  manager.remove(uid);
  await clock.advance(8000);
  manager.add(pod);
  await clock.advance(0);
  assert.deepEqual(state.probes, [4, 12]);
});

test('a single success between failures begins the count anew', async () => {
  const { clock, pod, state, manager } = setup('liveness', { periodSeconds: 1, failureThreshold: 2 });
  manager.add(pod);
  for (const answer of ['failure', 'success', 'failure', 'success'] as const) {
    state.answer = answer;
    await clock.advance(1000);
  }
  assert.equal(manager.result('liveness', 'one'), 'success');
  manager.retain(new Set());
});

test('liveness: success at first, holds after failing, begins again with the next container', async () => {
  const { clock, pod, state, manager, updates } = setup('liveness', {
    periodSeconds: 1,
    failureThreshold: 1,
  });
  state.answer = 'failure';
  manager.add(pod);
  await clock.advance(5000);
  assert.deepEqual(updates, ['one success', 'one failure']);
  assert.equal(state.probes.length, 1, 'on hold until there is another container');
  state.answer = 'success';
  state.status = running(clock, 'two');
  await clock.advance(2000);
  assert.equal(manager.result('liveness', 'one'), undefined);
  assert.equal(manager.result('liveness', 'two'), 'success');
  assert.ok(state.probes.length > 1);
  manager.remove(uid);
});

test('startup gates the others and ends when it has settled', async () => {
  const { clock, pod, state, manager, updates } = setup('startup', { periodSeconds: 1, failureThreshold: 5 });
  const container = pod.spec.containers[0]!;
  container.readinessProbe = { exec: { command: ['y'] }, periodSeconds: 1 };
  state.status = running(clock, 'one', { started: false });
  state.answer = 'failure';
  manager.add(pod);
  await clock.advance(2500);
  assert.equal(state.probes.length, 3, 'only startup probes');
  assert.equal(manager.result('startup', 'one'), 'unknown');
  state.answer = 'success';
  await clock.advance(1000);
  assert.equal(manager.result('startup', 'one'), 'success');
  const before = state.probes.length;
  await clock.advance(2000);
  assert.equal(state.probes.length, before, 'on hold, and readiness waits for `started`');
  state.status = running(clock, 'one');
  await clock.advance(1000);
  assert.equal(manager.result('readiness', 'one'), 'success');
  assert.ok(updates.includes('one unknown'));
  manager.remove(uid);
});

test('startup failing its threshold is told once and held', async () => {
  const { clock, pod, state, manager } = setup('startup', { periodSeconds: 1, failureThreshold: 2 });
  state.status = running(clock, 'one', { started: false });
  state.answer = 'failure';
  manager.add(pod);
  await clock.advance(10_000);
  assert.equal(manager.result('startup', 'one'), 'failure');
  assert.equal(state.probes.length, 2);
  manager.remove(uid);
});

test('the initial delay counts from the start of the container', async () => {
  const { clock, pod, state, manager } = setup('liveness', { periodSeconds: 1, initialDelaySeconds: 5 });
  manager.add(pod);
  await clock.advance(4900);
  assert.equal(state.probes.length, 0);
  await clock.advance(200);
  assert.deepEqual(state.probes, [5]);
  manager.remove(uid);
});

test('an error of the kubelet is tried three times and then leaves everything as it was', async () => {
  const { clock, pod, state, manager, events } = setup('liveness', { periodSeconds: 1, failureThreshold: 1 });
  state.answer = new Error('runtime is away');
  manager.add(pod);
  await clock.advance(500);
  assert.equal(state.probes.length, 3);
  assert.equal(manager.result('liveness', 'one'), 'success');
  assert.match(events[0] ?? '', /Liveness probe errored and resulted in unknown state: runtime is away/);
  manager.remove(uid);
});

test('a warning is a success worth an event', async () => {
  const { clock, pod, state, manager, events } = setup('readiness', {});
  state.answer = 'warning';
  manager.add(pod);
  await clock.advance(0);
  assert.equal(manager.result('readiness', 'one'), 'success');
  assert.match(events[0] ?? '', /^ProbeWarning/);
  manager.remove(uid);
});

test('ending a pod stops liveness with success, while readiness goes on', async () => {
  const { clock, pod, state, manager } = setup('liveness', { periodSeconds: 1, failureThreshold: 1 });
  const container = pod.spec.containers[0]!;
  container.readinessProbe = { exec: { command: ['y'] }, periodSeconds: 1 };
  state.answer = 'failure';
  manager.add(pod);
  await clock.advance(100);
  assert.equal(manager.result('liveness', 'one'), 'failure');
  state.status = running(clock, 'two');
  manager.stopLivenessAndStartup(uid);
  await clock.advance(2000);
  assert.equal(manager.result('liveness', 'two'), 'success');
  assert.equal(manager.hasWorker('liveness', uid, 'c'), true);
  assert.equal(manager.result('readiness', 'two'), 'failure');
  manager.remove(uid);
});

test('a container that ended is failing; with policy Never its worker ends', async () => {
  const { clock, pod, state, manager } = setup('readiness', { periodSeconds: 1 }, {});
  pod.spec.restartPolicy = 'Never';
  manager.add(pod);
  await clock.advance(0);
  state.status = running(clock, 'one', { state: { terminated: { exitCode: 0 } } });
  await clock.advance(1000);
  assert.equal(manager.result('readiness', 'one'), 'failure');
  assert.equal(clock.sleepers, 0);
});

test('readiness can be asked for at once', async () => {
  const { clock, pod, state, manager } = setup('readiness', { periodSeconds: 60 });
  manager.add(pod);
  await clock.advance(1000);
  manager.triggerReadiness(uid, 'c');
  await clock.advance(0);
  assert.deepEqual(state.probes, [0, 1]);
  await clock.advance(60_000);
  assert.deepEqual(state.probes, [0, 1, 61], 'the period counts from there');
  manager.remove(uid);
});

test('rounds do not drift when a probe takes its time', async () => {
  const { clock, pod, manager, state } = setup('readiness', { periodSeconds: 1 });
  manager.add(pod);
  await clock.advance(10_000);
  assert.deepEqual(state.probes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  manager.remove(uid);
});

const signal = new AbortController().signal;

async function probeOf(
  probe: Probe,
  execSync?: Parameters<typeof createProber>[0]['execSync'],
): Promise<Outcome> {
  const prober = createProber({ execSync: execSync ?? (() => Promise.reject(new Error('not expected'))) });
  const pod: Pod = { metadata: { name: 'p' }, spec: { containers: [] } };
  const container = { name: 'c', image: 'i', env: [{ name: 'WHO', value: 'me' }] };
  return prober({ pod, container, probe, containerId: 'one', podIp: '127.0.0.1' }, signal);
}

async function listening(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as net.AddressInfo).port;
}

test('http probes: status, redirects, headers, endless bodies, silence', async () => {
  const seen: http.IncomingHttpHeaders[] = [];
  const server = http.createServer((request, response) => {
    seen.push(request.headers);
    const url = request.url ?? '';
    if (url === '/redirect') response.writeHead(302, { location: '/fine?x=1' }).end();
    else if (url === '/away') response.writeHead(302, { location: 'http://example.invalid/' }).end();
    else if (url === '/loop') response.writeHead(302, { location: '/loop' }).end();
    else if (url === '/endless') {
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(4096)));
      };
      response.on('drain', more);
      more();
    } else if (url !== '/silent') response.writeHead(url.startsWith('/fine') ? 200 : 503).end('body');
  });
  const port = await listening(server);
  const get = (path: string, more: object = {}, timeoutSeconds = 30) =>
    probeOf({ httpGet: { port, path, ...more }, timeoutSeconds });
  try {
    assert.deepEqual(await get('/fine'), { result: 'success', output: 'body' });
    assert.deepEqual(await get('/bad'), {
      result: 'failure',
      output: 'HTTP probe failed with statuscode: 503',
    });
    assert.equal((await get('/redirect')).result, 'success');
    assert.equal((await get('/away')).result, 'warning');
    assert.match((await get('/loop')).output, /stopped after 10 redirects/);
    assert.equal((await get('/endless')).output.length, 10 * 1024);
    assert.match((await get('/silent', {}, 1)).output, /deadline exceeded/);
    assert.equal((await get('fine')).result, 'success');
    const headers = [
      { name: 'Host', value: 'example.org' },
      { name: 'Accept', value: '' },
      { name: 'X-One', value: '1' },
    ];
    await get('/fine', { httpHeaders: headers });
    const last = seen.at(-1);
    assert.equal(last?.host, 'example.org');
    assert.equal(last?.accept, undefined);
    assert.equal(last?.['user-agent'], 'kube-probe/1.36');
    assert.equal(last?.['x-one'], '1');
    assert.deepEqual(headersOf([], 'a'), { 'User-Agent': ['a'], Accept: ['*/*'] });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('tcp probes', async () => {
  const server = net.createServer((socket) => socket.on('error', () => {}));
  const port = await listening(server);
  assert.equal((await probeOf({ tcpSocket: { port } })).result, 'success');
  const patient = await probeOf({ tcpSocket: { port }, timeoutSeconds: 2 ** 31 - 1 });
  assert.equal(patient.result, 'success');
  server.close();
  const refused = await probeOf({ tcpSocket: { port } });
  assert.equal(refused.result, 'failure');
  assert.equal(refused.output, `dial tcp 127.0.0.1:${port}: connect: connection refused`);
});

test('grpc probes', async () => {
  const server = createRpcServer();
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  server.add(Health, {
    check: async ({ service }) => {
      if (service === 'late') throw new SkiffError('DEADLINE_EXCEEDED', 'my own');
      if (service === 'none') throw new SkiffError('UNIMPLEMENTED', 'unknown service');
      return { status: service === 'sick' ? NOT_SERVING : SERVING };
    },
  });
  const free = net.createServer();
  const port = await listening(free);
  await new Promise((resolve) => free.close(resolve));
  await server.listen(`127.0.0.1:${port}`);
  assert.equal((await probeOf({ grpc: { port } })).result, 'success');
  assert.match((await probeOf({ grpc: { port, service: 'sick' } })).output, /NOT_SERVING/);
  const output = async (service: string) =>
    (await probeOf({ grpc: { port, service }, timeoutSeconds: 90 })).output;
  assert.equal(await output('late'), 'timeout: health rpc did not complete within 1m30s');
  assert.match(
    await output('none'),
    /^error: this server does not implement the grpc health protocol \(.*\): .*unknown service$/,
  );
  await server.close(100);
  assert.equal((await probeOf({ grpc: { port }, timeoutSeconds: 1 })).result, 'failure');
});

test('exec probes: exit codes, literal variables, time, trouble', async () => {
  const asked: string[][] = [];
  const answering = (exitCode: number) => async (request: { cmd?: string[] }) => {
    asked.push(request.cmd ?? []);
    return { exitCode, stdout: Buffer.from('out'), stderr: Buffer.from('err') } as never;
  };
  const probe = { exec: { command: ['say', '$(WHO)', '$(NOBODY)'] } };
  assert.deepEqual(await probeOf(probe, answering(0)), { result: 'success', output: 'outerr' });
  assert.equal((await probeOf(probe, answering(1))).result, 'failure');
  assert.deepEqual(asked[0], ['say', 'me', '$(NOBODY)']);
  const late = async () => Promise.reject(new SkiffError('DEADLINE_EXCEEDED', 'late'));
  assert.match((await probeOf(probe, late)).output, /timed out after 1s/);
  await assert.rejects(probeOf(probe, async () => Promise.reject(new SkiffError('UNAVAILABLE', 'gone'))));
});

test('ports by number and by name', () => {
  const container = { name: 'c', image: 'i', ports: [{ name: 'web', containerPort: 8080 }] };
  assert.equal(portNumber(container, 'web'), 8080);
  assert.equal(portNumber(container, 99), 99);
  assert.equal(portNumber(container, '99'), 99);
  assert.throws(() => portNumber(container, 'none'), /couldn't find/);
  assert.throws(() => portNumber(container, 0));
});
