/** Pods: defaults, status, and their other subresources. */
import assert from 'node:assert/strict';
import { type Case, expectStatus, type Json } from './client.ts';

/** The cases. */
export const podCases: readonly Case[] = [
  {
    name: 'a pod gets its defaults',
    run: async (t) => {
      const { spec, status, metadata } = await t.pod('p', { terminationGracePeriodSeconds: undefined });
      assert.equal(spec.restartPolicy, 'Always');
      assert.equal(spec.dnsPolicy, 'ClusterFirst');
      assert.equal(spec.terminationGracePeriodSeconds, 30);
      assert.equal(spec.enableServiceLinks, true);
      assert.deepEqual(spec.securityContext, {});
      assert.equal(spec.serviceAccountName, 'default');
      assert.equal(spec.priority, 0);
      assert.equal(spec.containers[0].imagePullPolicy, 'IfNotPresent');
      assert.equal(spec.containers[0].terminationMessagePath, '/dev/termination-log');
      assert.equal(status.phase, 'Pending');
      assert.equal(status.qosClass, 'BestEffort');
      assert.equal(metadata.generation, 1);
    },
  },
  {
    name: 'quantities are stored in canonical form',
    run: async (t) => {
      const resources = { limits: { cpu: '1000m', memory: '1024Mi' }, requests: { cpu: '0.5' } };
      const { spec, status } = await t.pod('p', { containers: [{ name: 'c', image: 'x:1', resources }] });
      assert.deepEqual(spec.containers[0].resources.limits, { cpu: '1', memory: '1Gi' });
      assert.equal(spec.containers[0].resources.requests.cpu, '500m');
      assert.equal(spec.containers[0].resources.requests.memory, '1Gi');
      assert.equal(status.qosClass, 'Burstable');
    },
  },
  {
    name: 'a status sent with a create is dropped',
    run: async (t) => {
      const body = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'p' },
        spec: { schedulerName: 'nobody', containers: [{ name: 'c', image: 'x' }] },
        status: { phase: 'Running' },
      };
      assert.equal(expectStatus(await t.post(t.path('pods'), body), 201).status.phase, 'Pending');
    },
  },
  {
    name: 'a status sent with an update is dropped',
    run: async (t) => {
      const made = await t.pod('p');
      const body = expectStatus(
        await t.put(t.path('pods', 'p'), { ...made, status: { phase: 'Running' } }),
        200,
      );
      assert.equal(body.status.phase, 'Pending');
    },
  },
  {
    name: 'the status subresource changes the status and not the spec',
    run: async (t) => {
      await t.pod('p');
      const patch = {
        status: { phase: 'Running', podIP: '10.0.0.9', podIPs: [{ ip: '10.0.0.9' }] },
        spec: { activeDeadlineSeconds: 9 },
      };
      const body = expectStatus(await t.patch(`${t.path('pods', 'p')}/status`, 'strategic', patch), 200);
      assert.equal(body.status.phase, 'Running');
      assert.equal(body.spec.activeDeadlineSeconds, undefined);
      assert.equal(body.metadata.generation, 1);
      assert.equal((await t.get(`${t.path('pods', 'p')}/status`)).body.status.podIP, '10.0.0.9');
    },
  },
  {
    name: 'conditions merge by type',
    run: async (t) => {
      await t.pod('p');
      const condition = (type: string, status: string) => ({ status: { conditions: [{ type, status }] } });
      await t.patch(`${t.path('pods', 'p')}/status`, 'strategic', condition('Ready', 'False'));
      await t.patch(`${t.path('pods', 'p')}/status`, 'strategic', condition('Initialized', 'True'));
      const body = expectStatus(
        await t.patch(`${t.path('pods', 'p')}/status`, 'strategic', condition('Ready', 'True')),
        200,
      );
      const found = Object.fromEntries(body.status.conditions.map((each: Json) => [each.type, each.status]));
      assert.equal(found.Ready, 'True');
      assert.equal(found.Initialized, 'True');
    },
  },
  {
    name: 'a pod keeps its command; its image may change, and counts in generation',
    run: async (t) => {
      const made = await t.pod('p');
      const edit = (change: object) => ({
        ...made,
        metadata: { name: 'p' },
        spec: { ...made.spec, containers: [{ ...made.spec.containers[0], ...change }] },
      });
      const refused = expectStatus(
        await t.put(t.path('pods', 'p'), edit({ command: ['x'] })),
        422,
        'Invalid',
      );
      assert.match(refused.message, /spec: Forbidden: pod updates may not change fields other than/);
      const body = expectStatus(await t.put(t.path('pods', 'p'), edit({ image: 'other:2' })), 200);
      assert.equal(body.spec.containers[0].image, 'other:2');
      assert.equal(body.metadata.generation, 2);
    },
  },
  {
    name: 'a pod that no node runs is deleted at once',
    run: async (t) => {
      await t.pod('p', { terminationGracePeriodSeconds: 30 });
      const body = expectStatus(await t.delete(t.path('pods', 'p')), 200);
      assert.equal(body.kind, 'Pod');
      expectStatus(await t.get(t.path('pods', 'p')), 404);
    },
  },
  {
    name: 'a pod on a node is deleted with grace: marked first, gone with grace 0',
    run: async (t) => {
      await t.pod('p', { terminationGracePeriodSeconds: 30, nodeName: 'no-such-node' });
      const body = expectStatus(await t.delete(t.path('pods', 'p')), 200);
      assert.equal(body.metadata.deletionGracePeriodSeconds, 30);
      assert.ok(body.metadata.deletionTimestamp);
      const shorter = expectStatus(await t.delete(`${t.path('pods', 'p')}?gracePeriodSeconds=5`), 200);
      assert.equal(shorter.metadata.deletionGracePeriodSeconds, 5);
      const longer = expectStatus(await t.delete(`${t.path('pods', 'p')}?gracePeriodSeconds=60`), 200);
      assert.equal(longer.metadata.deletionGracePeriodSeconds, 5);
      const preconditions = { uid: body.metadata.uid };
      expectStatus(await t.delete(t.path('pods', 'p'), { gracePeriodSeconds: 0, preconditions }), 200);
      expectStatus(await t.get(t.path('pods', 'p')), 404);
    },
  },
  {
    name: 'binding sets the node once',
    run: async (t) => {
      await t.pod('p');
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: 'p' },
        target: { kind: 'Node', name: 'some-node' },
      };
      expectStatus(await t.post(`${t.path('pods', 'p')}/binding`, binding), 201);
      const { body } = await t.get(t.path('pods', 'p'));
      assert.equal(body.spec.nodeName, 'some-node');
      assert.equal(body.status.conditions.find((each: Json) => each.type === 'PodScheduled').status, 'True');
      expectStatus(await t.post(`${t.path('pods', 'p')}/binding`, binding), 409, 'Conflict');
      await t.delete(`${t.path('pods', 'p')}?gracePeriodSeconds=0`);
    },
  },
  {
    name: 'ephemeral containers are added by their subresource only, and stay',
    run: async (t) => {
      await t.pod('p');
      const debug = { name: 'debug', image: 'x:1' };
      const patch = { spec: { ephemeralContainers: [debug] } };
      const main = await t.patch(t.path('pods', 'p'), 'strategic', patch);
      assert.equal(main.status, 422);
      const body = expectStatus(
        await t.patch(`${t.path('pods', 'p')}/ephemeralcontainers`, 'strategic', patch),
        200,
      );
      assert.equal(body.spec.ephemeralContainers[0].name, 'debug');
      const changed = { spec: { ephemeralContainers: [{ name: 'debug', image: 'y:1' }] } };
      expectStatus(
        await t.patch(`${t.path('pods', 'p')}/ephemeralcontainers`, 'strategic', changed),
        422,
        'Invalid',
      );
    },
  },
  {
    name: 'eviction deletes a pod',
    run: async (t) => {
      await t.pod('p');
      const eviction = {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name: 'p', namespace: t.namespace },
      };
      expectStatus(await t.post(`${t.path('pods', 'p')}/eviction`, eviction), 201);
      expectStatus(await t.get(t.path('pods', 'p')), 404);
    },
  },
  {
    name: 'a priority class that is not there is refused; one that is sets the priority',
    run: async (t) => {
      const body = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'p' },
        spec: {
          schedulerName: 'nobody',
          priorityClassName: 'none-such',
          containers: [{ name: 'c', image: 'x' }],
        },
      };
      expectStatus(await t.post(t.path('pods'), body), 403, 'Forbidden');
      const { spec } = await t.pod('q', { priorityClassName: 'system-node-critical' });
      assert.equal(spec.priority, 2_000_001_000);
    },
  },
  {
    name: 'a service account that is not there is refused',
    run: async (t) => {
      const body = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'p' },
        spec: { serviceAccountName: 'none-such', containers: [{ name: 'c', image: 'x' }] },
      };
      const answer = expectStatus(await t.post(t.path('pods'), body), 403, 'Forbidden');
      assert.match(answer.message, /serviceaccount "none-such" not found/);
    },
  },
  {
    name: 'the log of a pod without a node is empty, of a wrong container 400',
    run: async (t) => {
      await t.pod('p');
      assert.equal((await t.get(`${t.path('pods', 'p')}/log`)).status, 204);
      expectStatus(await t.get(`${t.path('pods', 'p')}/log?container=none`), 400, 'BadRequest');
    },
  },
  {
    name: 'a service account token tells who it is',
    run: async (t) => {
      const request = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: 600 },
      };
      const { status } = expectStatus(
        await t.post(`${t.path('serviceaccounts', 'default')}/token`, request),
        201,
      );
      const review = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token: status.token },
      };
      const answer = expectStatus(await t.post('/apis/authentication.k8s.io/v1/tokenreviews', review), 201);
      assert.equal(answer.status.authenticated, true);
      assert.equal(answer.status.user.username, `system:serviceaccount:${t.namespace}:default`);
      const bad = { ...review, spec: { token: `${status.token}x` } };
      assert.ok(
        (await t.post('/apis/authentication.k8s.io/v1/tokenreviews', bad)).body.status.authenticated !== true,
      );
    },
  },
];
