import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyDefaults } from '../../defaults/defaults.ts';
import { requireKind } from '../../kinds.ts';
import type { Pod } from '../../types.ts';
import { problemText } from '../problems.ts';
import { validateCreate, validateUpdate } from '../validate.ts';

const kind = requireKind('v1', 'Pod');

function pod(spec: object, container: object = {}): Pod {
  const base = { name: 'c', image: 'nginx:1' };
  const value = {
    metadata: { name: 'p', namespace: 'default' },
    spec: { containers: [{ ...base, ...container }], ...spec },
  };
  return structuredClone(value) as Pod;
}

function complete(value: Pod): Pod {
  applyDefaults(kind, value);
  return value;
}

const wrong = (value: Pod) => validateCreate(kind, complete(value)).map(problemText).join('\n');

test('an ordinary pod gets its defaults and passes', () => {
  const value = complete(
    pod(
      { hostNetwork: true, volumes: [{ name: 'v' }, { name: 's', secret: { secretName: 's' } }] },
      {
        image: 'nginx',
        ports: [{ containerPort: 80 }],
        readinessProbe: { httpGet: { port: 80 } },
        resources: { limits: { cpu: '1' } },
      },
    ),
  );
  assert.deepEqual(validateCreate(kind, value), []);
  const [container] = value.spec.containers;
  assert.equal(container?.imagePullPolicy, 'Always');
  assert.equal(container?.resources?.requests?.cpu, '1');
  assert.deepEqual(container?.ports, [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }]);
  assert.deepEqual(container?.readinessProbe, {
    httpGet: { port: 80, path: '/', scheme: 'HTTP' },
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  });
  assert.deepEqual(value.spec.volumes?.[0]?.emptyDir, {});
  assert.equal(value.spec.volumes?.[1]?.secret?.defaultMode, 0o644);
  assert.equal(value.spec.terminationGracePeriodSeconds, 30);
  const again = structuredClone(value);
  applyDefaults(kind, again);
  assert.deepEqual(again, value);
});

test('the pull policy follows from the image name', () => {
  const table: Record<string, string> = {
    nginx: 'Always',
    'nginx:latest': 'Always',
    'nginx:1': 'IfNotPresent',
    'host:5000/nginx': 'Always',
    'host:5000/nginx:2': 'IfNotPresent',
    [`nginx@sha256:${'0'.repeat(64)}`]: 'IfNotPresent',
  };
  for (const [image, policy] of Object.entries(table))
    assert.equal(complete(pod({}, { image })).spec.containers[0]?.imagePullPolicy, policy, image);
});

test('what the original refuses is refused with its words', () => {
  const table: [Pod, RegExp][] = [
    [pod({ containers: [] }), /^spec\.containers: Required value$/],
    [pod({}, { name: '' }), /^spec\.containers\[0\]\.name: Required value$/],
    [pod({}, { name: 'A_b' }), /name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of/],
    [pod({}, { image: '' }), /spec\.containers\[0\]\.image: Required value/],
    [
      pod({ restartPolicy: 'Maybe' }),
      /spec\.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"/,
    ],
    [pod({}, { imagePullPolicy: 'Often' }), /imagePullPolicy: Unsupported value: "Often"/],
    [
      pod({}, { ports: [{ containerPort: 70000 }] }),
      /ports\[0\]\.containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive/,
    ],
    [
      pod(
        {},
        {
          ports: [
            { containerPort: 1, hostPort: 5 },
            { containerPort: 2, hostPort: 5 },
          ],
        },
      ),
      /ports\[1\]\.hostPort: Duplicate value: "TCP\/\/5"/,
    ],
    [pod({}, { env: [{ name: 'a=b' }] }), /env\[0\]\.name: Invalid value: "a=b"/],
    [pod({}, { env: [{ name: 'a', valueFrom: {} }] }), /env\[0\]\.valueFrom: Invalid value: ""/],
    [
      pod({}, { env: [{ name: 'a', valueFrom: { fieldRef: { fieldPath: 'spec.x' } } }] }),
      /fieldPath: Unsupported value: "spec\.x"/,
    ],
    [pod({}, { volumeMounts: [{ name: 'v', mountPath: '/x' }] }), /volumeMounts\[0\]\.name: Not found: "v"/],
    [
      pod({ volumes: [{ name: 'v' }] }, { volumeMounts: [{ name: 'v', mountPath: '/x', subPath: '../..' }] }),
      /subPath: Invalid value: "\.\.\/\.\.": must not contain '\.\.'/,
    ],
    [
      pod(
        { volumes: [{ name: 'v' }] },
        { volumeMounts: [{ name: 'v', mountPath: '/x', mountPropagation: 'Bidirectional' }] },
      ),
      /only to privileged containers/,
    ],
    [
      pod({ volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/' } }] }),
      /spec\.volumes\[0\]\.hostPath: Forbidden: may not specify more than 1 volume type/,
    ],
    [
      pod({ volumes: [{ name: 'v', configMap: { name: 'c', defaultMode: 4096 } }] }),
      /defaultMode: Invalid value: 4096: must be a number between 0 and 0777/,
    ],
    [
      pod({}, { resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } }),
      /resources\.requests: Invalid value: "2": must be less than or equal to cpu limit of 1/,
    ],
    [
      pod({}, { resources: { limits: { cpu: '-1' } } }),
      /resources\.limits\[cpu\]: Invalid value: "-1": must be greater than or equal to 0/,
    ],
    [
      pod({}, { resources: { requests: { 'a.com/gpu': '1' } } }),
      /Limit must be set for non overcommitable resources/,
    ],
    [pod({}, { livenessProbe: {} }), /livenessProbe: Required value: must specify a handler type/],
    [
      pod({}, { livenessProbe: { exec: { command: ['a'] }, successThreshold: 2 } }),
      /successThreshold: Invalid value: 2: must be 1/,
    ],
    [
      pod({}, { livenessProbe: { exec: { command: ['a'] }, tcpSocket: { port: 1 } } }),
      /may not specify more than 1 handler type/,
    ],
    [pod({ dnsPolicy: 'None' }), /must provide at least one DNS nameserver/],
    [
      pod({ hostAliases: [{ ip: 'x' }] }),
      /hostAliases\[0\]\.ip: Invalid value: "x": must be a valid IP address/,
    ],
    [
      pod({ tolerations: [{ operator: 'Equal', value: 'a' }] }),
      /operator must be Exists when `key` is empty/,
    ],
    [pod({ securityContext: { runAsUser: -1 } }), /spec\.securityContext\.runAsUser: Invalid value: -1/],
    [pod({ securityContext: { sysctls: [{ name: 'a b' }] } }), /sysctls\[0\]\.name: Invalid value/],
    [pod({ hostUsers: false, hostPID: true }), /spec\.hostPID: Forbidden: when `hostUsers` is false/],
    [
      pod({}, { securityContext: { privileged: true, allowPrivilegeEscalation: false } }),
      /cannot set `allowPrivilegeEscalation` to false/,
    ],
    [
      pod({ initContainers: [{ name: 'i', image: 'x', livenessProbe: { tcpSocket: { port: 1 } } }] }),
      /initContainers\[0\]\.livenessProbe: Forbidden/,
    ],
    [
      pod({ ephemeralContainers: [{ name: 'e', image: 'x' }] }),
      /spec\.ephemeralContainers: Forbidden: cannot be set on create/,
    ],
    [
      pod({}, { restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [1] } }] }),
      /must specify restartPolicy when restart rules are used/,
    ],
    [{ metadata: { name: 'p', namespace: 'd' } } as Pod, /^spec: Required value$/],
    [
      { ...pod({}), metadata: { name: 'a/b', namespace: 'd' } },
      /metadata\.name: Invalid value: "a\/b": a lowercase RFC 1123 subdomain/,
    ],
  ];
  for (const [value, expected] of table) assert.match(wrong(value), expected, JSON.stringify(value.spec));
});

test('a thousand containers and long lists are told, not crashed on', () => {
  const containers = Array.from({ length: 1000 }, () => ({ name: 'same', image: 'x' }));
  assert.equal(validateCreate(kind, complete(pod({ containers }))).length, 999);
});

test('of a pod that exists only a few fields may change', () => {
  const before = complete(pod({ activeDeadlineSeconds: 100 }));
  const change = (edit: (value: Pod) => unknown) => {
    const now = structuredClone(before);
    edit(now);
    return validateUpdate(kind, now, before).map(problemText).join('\n');
  };
  const first = (value: Pod) => value.spec.containers[0]!;
  assert.equal(
    change((value) => Object.assign(first(value), { image: 'other:2' })),
    '',
  );
  assert.equal(
    change((value) => Object.assign(value.spec, { activeDeadlineSeconds: 50 })),
    '',
  );
  assert.equal(
    change((value) => Object.assign(value.spec, { tolerations: [{ operator: 'Exists' }] })),
    '',
  );
  assert.equal(
    change((value) => Object.assign(value.metadata, { labels: { a: 'b' } })),
    '',
  );
  assert.match(
    change((value) => Object.assign(first(value), { command: ['x'] })),
    /spec: Forbidden: pod updates may not change fields other than/,
  );
  assert.match(
    change((value) => Object.assign(value.spec, { nodeName: 'x' })),
    /spec: Forbidden/,
  );
  assert.match(
    change((value) => value.spec.containers.push({ name: 'z', image: 'x:1' })),
    /may not add or remove containers/,
  );
  assert.match(
    change((value) => Object.assign(value.spec, { activeDeadlineSeconds: 200 })),
    /must be less than or equal to previous value/,
  );
  assert.match(
    change((value) => Object.assign(value.metadata, { name: 'q' })),
    /metadata\.name: Invalid value: "q": field is immutable/,
  );
});
