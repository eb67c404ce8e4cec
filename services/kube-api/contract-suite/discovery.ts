/** Discovery, OpenAPI, version, health and access reviews. */
import assert from 'node:assert/strict';
import { type Case, expectStatus, type Json } from './client.ts';

const aggregated = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** The cases. */
export const discoveryCases: readonly Case[] = [
  {
    name: '/api names v1',
    run: async (t) => {
      assert.deepEqual(expectStatus(await t.get('/api'), 200).versions, ['v1']);
    },
  },
  {
    name: '/api/v1 lists pods with verbs and short names',
    run: async (t) => {
      const { resources } = expectStatus(await t.get('/api/v1'), 200);
      const pods = resources.find((each: Json) => each.name === 'pods');
      assert.equal(pods.kind, 'Pod');
      assert.deepEqual(pods.shortNames, ['po']);
      assert.ok(['create', 'get', 'list', 'watch'].every((verb) => pods.verbs.includes(verb)));
      assert.ok(resources.some((each: Json) => each.name === 'pods/log'));
    },
  },
  {
    name: '/apis lists groups with their versions',
    run: async (t) => {
      const { groups } = expectStatus(await t.get('/apis'), 200);
      const group = groups.find((each: Json) => each.name === 'coordination.k8s.io');
      assert.equal(group.preferredVersion.groupVersion, 'coordination.k8s.io/v1');
    },
  },
  {
    name: 'aggregated discovery holds everything at once',
    run: async (t) => {
      const answer = await t.call('GET', '/apis', undefined, { accept: aggregated });
      assert.equal(expectStatus(answer, 200).kind, 'APIGroupDiscoveryList');
      assert.match(String(answer.headers['content-type']), /as=APIGroupDiscoveryList/);
      const core = await t.call('GET', '/api', undefined, { accept: aggregated });
      const pods = core.body.items[0].versions[0].resources.find((each: Json) => each.resource === 'pods');
      assert.equal(pods.responseKind.kind, 'Pod');
      assert.ok(pods.subresources.some((each: Json) => each.subresource === 'exec'));
    },
  },
  {
    name: 'OpenAPI v3 describes pods',
    run: async (t) => {
      const { paths } = expectStatus(await t.get('/openapi/v3'), 200);
      const { serverRelativeURL } = paths['api/v1'];
      const document = expectStatus(await t.get(serverRelativeURL), 200);
      const pod = document.components.schemas['io.k8s.api.core.v1.Pod'];
      assert.equal(pod['x-kubernetes-group-version-kind'][0].kind, 'Pod');
      const containers = document.components.schemas['io.k8s.api.core.v1.PodSpec'].properties.containers;
      assert.equal(containers['x-kubernetes-patch-merge-key'], 'name');
    },
  },
  {
    name: 'OpenAPI v2 describes pods',
    run: async (t) => {
      const document = expectStatus(await t.get('/openapi/v2'), 200);
      assert.ok(document.definitions['io.k8s.api.core.v1.Pod']);
    },
  },
  {
    name: '/version has a gitVersion',
    run: async (t) => {
      assert.match(expectStatus(await t.get('/version'), 200).gitVersion, /^v\d+\.\d+/);
    },
  },
  ...['/healthz', '/livez', '/readyz'].map((path) => ({
    name: `${path} says ok`,
    run: async (t: Parameters<Case['run']>[0]) => {
      const answer = await t.get(path);
      assert.equal(answer.status, 200);
      assert.equal(answer.body, 'ok');
    },
  })),
  {
    name: 'a self subject access review says yes to an administrator',
    run: async (t) => {
      const spec = { resourceAttributes: { namespace: t.namespace, verb: 'create', resource: 'pods' } };
      const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec };
      const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
      assert.equal(expectStatus(await t.post(path, review), 201).status.allowed, true);
    },
  },
  {
    name: 'a subject access review says no to nobody',
    run: async (t) => {
      const spec = {
        user: 'nobody',
        resourceAttributes: { namespace: t.namespace, verb: 'create', resource: 'pods' },
      };
      const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec };
      const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
      assert.equal(expectStatus(await t.post(path, review), 201).status.allowed, false);
    },
  },
  {
    name: 'a self subject review says who asks',
    run: async (t) => {
      const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
      const { status } = expectStatus(
        await t.post('/apis/authentication.k8s.io/v1/selfsubjectreviews', review),
        201,
      );
      assert.ok(status.userInfo.username);
    },
  },
  {
    name: 'path tricks find nothing',
    run: async (t) => {
      for (const path of [
        '/api/v1/namespaces/default/../../../etc',
        '/api/v1/namespaces/a%2Fb/pods',
        '/api/v1/pods/%00/log',
      ])
        assert.ok((await t.get(path)).status >= 400, path);
    },
  },
];
