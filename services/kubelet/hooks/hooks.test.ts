import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { LifecycleHandler } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { createHookRunner } from './hooks.ts';

const signal = new AbortController().signal;

function setup(handler: LifecycleHandler | undefined, exitCode = 0) {
  const clock = fakeClock();
  const asked: string[][] = [];
  const hooks = createHookRunner({
    clock,
    cri: {
      execSync: async (request) => {
        asked.push(request.cmd ?? []);
        return { exitCode, stdout: Buffer.from('why'), stderr: Buffer.alloc(0) } as never;
      },
    },
  });
  const container = { name: 'c', image: 'i', lifecycle: { postStart: handler, preStop: handler } };
  const pod = { metadata: { name: 'p' }, spec: { containers: [container] } };
  return { hooks, clock, asked, target: { pod, container, containerId: 'one', podIps: ['127.0.0.1'] } };
}

test('exec hooks: variables are not expanded, a bad exit code is an error with the output', async () => {
  const fine = setup({ exec: { command: ['say', '$(X)'] } });
  await fine.hooks.postStart(fine.target, signal);
  assert.deepEqual(fine.asked, [['say', '$(X)']]);
  const bad = setup({ exec: { command: ['say'] } }, 3);
  await assert.rejects(
    bad.hooks.preStop(bad.target, signal),
    /Exec lifecycle hook \(say\) for Container "c" failed - PreStop exited with 3, message: "why"/,
  );
});

test('http hooks take any status, and fall back from HTTPS to HTTP without the credentials', async () => {
  const seen: http.IncomingHttpHeaders[] = [];
  const server = http.createServer((request, response) => {
    seen.push(request.headers);
    response.writeHead(500).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const plain = setup({ httpGet: { port } });
    await plain.hooks.postStart(plain.target, signal);
    assert.equal(seen[0]?.['user-agent'], 'kube-lifecycle/1.36');
    const httpHeaders = [{ name: 'Authorization', value: 'Bearer x' }];
    const secure = setup({ httpGet: { port, scheme: 'HTTPS', httpHeaders } });
    await secure.hooks.postStart(secure.target, signal);
    assert.equal(seen[1]?.authorization, undefined);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  const gone = setup({ httpGet: { port } });
  await assert.rejects(gone.hooks.postStart(gone.target, signal), /HTTP lifecycle hook/);
});

test('sleep hooks sleep, and end with the grace period', async () => {
  const { hooks, clock, target } = setup({ sleep: { seconds: 5 } });
  let done = false;
  const waiting = hooks.preStop(target, signal).then(() => {
    done = true;
  });
  await clock.advance(4900);
  assert.equal(done, false);
  await clock.advance(200);
  await waiting;
  const ended = new AbortController();
  const cut = assert.rejects(hooks.preStop(target, ended.signal), /grace/);
  ended.abort(new Error('grace is over'));
  await cut;
});

test('no hook is fine, a tcpSocket hook is not', async () => {
  const none = setup(undefined);
  await none.hooks.postStart(none.target, signal);
  const tcp = setup({ tcpSocket: { port: 1 } });
  await assert.rejects(tcp.hooks.postStart(tcp.target, signal), /no handler that can be run/);
});
