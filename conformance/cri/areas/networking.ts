/** Pod networks and host ports. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { NamespaceMode, Protocol } from '#contracts/cri/runtime_pb.ts';
import { freePort } from '#foundation/base/free-port.ts';
import type { Context } from '../context.ts';
import { area } from '../rule.ts';

const webServer = ['httpd', '-f', '-p', '80', '-h', '/srv'];

async function addressOf({ cri }: Context, podSandboxId: string): Promise<string> {
  const { status } = await cri.runtime.podSandboxStatus({ podSandboxId });
  return status?.network?.ip ?? '';
}

async function get(url: string): Promise<string> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(2000) });
  return answer.text();
}

export const networking = area('networking', (rule) => {
  rule('a pod has loopback and an interface with the address of its status', async (t) => {
    const { pod, id } = await t.running();
    const list = await t.output(id, 'ip addr');
    assert.match(list, /127\.0\.0\.1\/8/);
    assert.ok(list.includes(`${await addressOf(t, pod.id)}/`), list);
    assert.match(list, /eth0/);
    assert.match(await t.output(id, 'ip route'), /default/);
  });

  rule('the host and other pods reach a pod by its address', async (t) => {
    const { pod } = await t.running({ command: webServer });
    const address = await addressOf(t, pod.id);
    await t.eventually('the page', () =>
      get(`http://${address}/`).then((text) => text === 'served by the pod\n' || undefined),
    );
    const { id } = await t.running();
    assert.equal(await t.output(id, `wget -q -O - http://${address}/`), 'served by the pod');
  });

  rule('containers of a pod reach each other on localhost', async (t) => {
    const { pod } = await t.running({ command: webServer });
    const other = await t.start(pod);
    await t.eventually(
      'the page',
      async () => (await t.sh(other, 'wget -q -O - http://127.0.0.1/')).exitCode === 0 || undefined,
    );
  });

  rule('pods that run at the same time have different addresses', async (t) => {
    const pods = await Promise.all(Array.from({ length: 4 }, () => t.pod()));
    const addresses = await Promise.all(pods.map((pod) => addressOf(t, pod.id)));
    assert.equal(new Set(addresses).size, 4, addresses.join(' '));
  });

  rule('a host port leads to the pod until the pod is stopped', async (t) => {
    const hostPort = await freePort();
    const portMappings = [{ protocol: Protocol.TCP, containerPort: 80, hostPort }];
    const { pod } = await t.running({ command: webServer }, { portMappings });
    const url = `http://127.0.0.1:${hostPort}/`;
    await t.eventually('the page', () =>
      get(url).then((text) => text === 'served by the pod\n' || undefined),
    );
    await t.cri.runtime.stopPodSandbox({ podSandboxId: pod.id });
    await assert.rejects(get(url));
  });

  rule('a port mapping without a host port maps nothing', async (t) => {
    await t.pod({ portMappings: [{ protocol: Protocol.TCP, containerPort: 80 }] });
  });

  rule("a pod with the host's network has its name and its interfaces", async (t) => {
    const fields = { linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } };
    const { id } = await t.running(fields, fields);
    assert.equal(await t.output(id, 'hostname'), hostname());
    const server = createServer((socket) => socket.end('from the host')).listen(0, '127.0.0.1');
    t.defer(() => server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    assert.equal(await t.output(id, `nc 127.0.0.1 ${port} < /dev/null`), 'from the host');
  });

  rule('/etc/hosts names localhost', async (t) => {
    const { id } = await t.running();
    assert.match(await t.output(id, 'cat /etc/hosts'), /127\.0\.0\.1\s.*localhost/);
  });

  rule('the address stays in the status of a container that restarts', async (t) => {
    const { pod } = await t.running();
    const before = await addressOf(t, pod.id);
    const again = await t.start(pod);
    assert.ok((await t.output(again, 'ip addr')).includes(`${before}/`));
    assert.equal(await addressOf(t, pod.id), before);
  });

  rule('an unprivileged process may open low ports and ping', async (t) => {
    const { id } = await t.running({ linux: { securityContext: { runAsUser: { value: 1000n } } } });
    assert.equal(await t.output(id, 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start'), '0');
    assert.match(await t.output(id, 'cat /proc/sys/net/ipv4/ping_group_range'), /^0\s+2147483647$/);
  });

  rule('a host port that is taken by another pod is not taken away from it', async (t) => {
    const hostPort = await freePort();
    const portMappings = [{ protocol: Protocol.TCP, containerPort: 80, hostPort }];
    const { pod } = await t.running({ command: webServer }, { portMappings });
    const url = `http://127.0.0.1:${hostPort}/`;
    await t.eventually('the page', () => get(url).then((text) => text !== '' || undefined));
    const second = t.podConfig({ portMappings });
    const answer = await t.cri.runtime
      .runPodSandbox({ config: second, runtimeHandler: t.handler })
      .catch(() => undefined);
    if (answer !== undefined) await t.cri.runtime.removePodSandbox({ podSandboxId: answer.podSandboxId });
    assert.equal(await get(url), 'served by the pod\n');
    assert.notEqual(await addressOf(t, pod.id), '');
  });
});
