/** What is refused, with the original's paths and words. */
import assert from 'node:assert/strict';
import { type Case, configMap, expectStatus, type Json, pod, type Session } from './client.ts';

const table: [what: string, plural: string, body: Json, expected: RegExp][] = [
  [
    'a pod without containers',
    'pods',
    pod('p', { containers: [] }),
    /^Pod "p" is invalid: spec\.containers: Required value$/,
  ],
  [
    'a container without a name',
    'pods',
    pod('p', { containers: [{ image: 'x' }] }),
    /spec\.containers\[0\]\.name: Required value/,
  ],
  [
    'a container without an image',
    'pods',
    pod('p', { containers: [{ name: 'c' }] }),
    /spec\.containers\[0\]\.image: Required value/,
  ],
  [
    'a bad container name',
    'pods',
    pod('p', { containers: [{ name: 'C_', image: 'x' }] }),
    /spec\.containers\[0\]\.name: Invalid value: "C_": a lowercase RFC 1123 label must consist of/,
  ],
  [
    'two containers of one name',
    'pods',
    pod('p', {
      containers: [
        { name: 'c', image: 'x' },
        { name: 'c', image: 'x' },
      ],
    }),
    /spec\.containers\[1\]\.name: Duplicate value: "c"/,
  ],
  [
    'a bad restart policy',
    'pods',
    pod('p', { restartPolicy: 'Maybe' }),
    /spec\.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"/,
  ],
  [
    'a volume mount of nothing',
    'pods',
    pod('p', { containers: [{ name: 'c', image: 'x', volumeMounts: [{ name: 'v', mountPath: '/v' }] }] }),
    /spec\.containers\[0\]\.volumeMounts\[0\]\.name: Not found: "v"/,
  ],
  [
    'a request above its limit',
    'pods',
    pod('p', {
      containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } }],
    }),
    /spec\.containers\[0\]\.resources\.requests: Invalid value: "2": must be less than or equal to cpu limit of 1/,
  ],
  [
    'a port out of range',
    'pods',
    pod('p', { containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 70000 }] }] }),
    /spec\.containers\[0\]\.ports\[0\]\.containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive/,
  ],
  [
    'a bad object name',
    'configmaps',
    configMap('Bad_Name'),
    /^ConfigMap "Bad_Name" is invalid: metadata\.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of/,
  ],
  [
    'no name',
    'configmaps',
    configMap(''),
    /metadata\.name: Required value: name or generateName is required/,
  ],
  [
    'a bad label',
    'configmaps',
    configMap('l', { metadata: { name: 'l', labels: { a: '-' } } }),
    /metadata\.labels: Invalid value: "-"/,
  ],
  [
    'a bad key of data',
    'configmaps',
    configMap('k', { data: { 'a/b': '1' } }),
    /data\[a\/b\]: Invalid value: "a\/b": a valid config key must consist of/,
  ],
  [
    'a service without ports',
    'services',
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 's' }, spec: {} },
    /spec\.ports: Required value/,
  ],
  [
    'a bad service name',
    'services',
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'Bad.Name' }, spec: { ports: [{ port: 1 }] } },
    /metadata\.name: Invalid value: "Bad\.Name": a lowercase RFC 1123 label must consist of/,
  ],
  [
    'a claim without access modes',
    'persistentvolumeclaims',
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'c' },
      spec: { resources: { requests: { storage: '1Gi' } } },
    },
    /spec\.accessModes: Required value: at least 1 access mode is required/,
  ],
];

/** The cases. */
export const validationCases: readonly Case[] = [
  ...table.map(([what, plural, body, expected]) => ({
    name: `refuses ${what}`,
    run: async (t: Session) => {
      const answer = expectStatus(await t.post(t.path(plural), body), 422, 'Invalid');
      assert.match(answer.message, expected);
      assert.ok(answer.details.causes.length > 0);
      assert.ok(answer.details.causes.every((each: Json) => typeof each.field === 'string' && each.reason));
    },
  })),
  {
    name: 'a number where text belongs is 400',
    run: async (t) => {
      expectStatus(await t.post(t.path('configmaps'), configMap('n', { data: { a: 1 } })), 400, 'BadRequest');
    },
  },
  {
    name: 'a quantity that is none is 400',
    run: async (t) => {
      const body = pod('q', {
        containers: [{ name: 'c', image: 'x', resources: { limits: { cpu: 'many' } } }],
      });
      expectStatus(await t.post(t.path('pods'), body), 400, 'BadRequest');
    },
  },
  {
    name: 'a body above the limit is 413',
    run: async (t) => {
      const answer = await t.post(
        t.path('configmaps'),
        configMap('big', { data: { a: 'x'.repeat(4 * 1024 * 1024) } }),
      );
      assert.equal(answer.status, 413);
    },
  },
  {
    name: 'a ConfigMap above 1 MiB is 422',
    run: async (t) => {
      const answer = await t.post(
        t.path('configmaps'),
        configMap('big', { data: { a: 'x'.repeat(1024 * 1024 + 1) } }),
      );
      expectStatus(answer, 422, 'Invalid');
    },
  },
];
