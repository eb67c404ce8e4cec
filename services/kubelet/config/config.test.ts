/** Sources and how they are merged (kubelet-facts 1). */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { systemClock } from '#foundation/base/time.ts';
import { podOf } from '../testing/pods.ts';
import { decodePod, decodePods } from './decode.ts';
import { decodeElsewhere } from './decode-worker.ts';
import { runFileSource } from './file-source.ts';
import { runHttpSource } from './http-source.ts';
import { createPodConfig } from './pod-config.ts';
import { createSources } from './sources.ts';
import { toStaticPod } from './static-pod.ts';

function merger() {
  const said: string[] = [];
  const duplicates: string[] = [];
  const config = createPodConfig({
    now: () => Date.UTC(2026, 0, 1),
    emit: ({ op, pods }) => said.push(`${op} ${pods.map(({ metadata }) => metadata.uid).join(',')}`.trim()),
    onDuplicate: ({ metadata }) => duplicates.push(metadata.uid ?? ''),
  });
  return { config, said, duplicates };
}

const pod = (uid: string, more: Partial<Pod['metadata']> = {}, spec = {}) =>
  podOf(spec, { uid, name: uid, ...more });

test('full sets become the difference, in the order of the original', () => {
  const { config, said } = merger();
  config.set('api', [pod('a'), pod('b'), pod('c')]);
  const gone = { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 1 };
  const ready = { ...pod('d'), status: { phase: 'Running' } };
  config.set('api', [pod('b', gone), pod('c', { labels: { x: 'y' } }), pod('d')]);
  config.set('api', [pod('b', gone), pod('c', { labels: { x: 'y' } }), ready]);
  config.set('api', [pod('b', gone), pod('c', { labels: { x: 'y' } }), ready]);
  assert.deepEqual(said, ['ADD a,b,c', 'REMOVE a', 'ADD d', 'UPDATE c', 'DELETE b', 'RECONCILE d']);
});

test('the kubelet’s own annotations are no change; others are', () => {
  const { config, said } = merger();
  config.set('file', [pod('a')]);
  config.set('file', [pod('a', { annotations: { 'kubernetes.io/config.mirror': 'x' } })]);
  config.set('file', [pod('a', { annotations: { mine: 'x' } })]);
  assert.deepEqual(said, ['ADD a', 'UPDATE a']);
  const annotations = config.pods()[0]?.metadata.annotations;
  assert.equal(annotations?.['kubernetes.io/config.source'], 'file');
  assert.equal(annotations?.['kubernetes.io/config.seen'], '2026-01-01T00:00:00.000000000Z');
});

test('an empty first set says that the source was seen', () => {
  const { config, said } = merger();
  config.set('file', []);
  config.set('file', []);
  assert.deepEqual(said, ['ADD']);
});

test('two pods of one name in a source: the second is left out', () => {
  const { config, said, duplicates } = merger();
  config.set('file', [pod('a', { name: 'n' }), pod('b', { name: 'n' })]);
  assert.deepEqual([said, duplicates], [['ADD a'], ['b']]);
});

test('sources are ready when all were seen', () => {
  const sources = createSources(['file', 'api']);
  sources.seen('file');
  assert.equal(sources.allReady(), false);
  sources.seen('api');
  assert.equal(sources.allReady(), true);
});

const manifest = (name: string, extra = '') =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec:\n  containers:\n  - {name: a, image: img}\n${extra}`;

test('a static pod: name, UID, annotations, toleration; the UID follows content, node and place', () => {
  const decoded = decodePod(manifest('web'), 'web.yaml');
  const made = toStaticPod(decoded, 'Node1', { source: 'file', path: '/m/web.yaml' });
  assert.equal(made.metadata.name, 'web-node1');
  assert.equal(made.metadata.namespace, 'default');
  assert.match(made.metadata.uid ?? '', /^[0-9a-f]{32}$/);
  assert.equal(made.metadata.annotations?.['kubernetes.io/config.hash'], made.metadata.uid);
  assert.equal(made.spec.nodeName, 'Node1');
  assert.equal(made.status?.phase, 'Pending');
  assert.deepEqual(made.spec.tolerations, [{ operator: 'Exists', effect: 'NoExecute' }]);
  const uid = (node: string, path: string, name = 'web') =>
    toStaticPod(decodePod(manifest(name), 'f'), node, { source: 'file', path }).metadata.uid;
  assert.equal(uid('Node1', '/m/web.yaml'), made.metadata.uid);
  assert.notEqual(uid('Node2', '/m/web.yaml'), made.metadata.uid);
  assert.notEqual(uid('Node1', '/m/other.yaml'), made.metadata.uid);
  const fromUrl = toStaticPod(decoded, 'Node1', { source: 'http', url: 'http://x/' });
  assert.notEqual(fromUrl.metadata.uid, made.metadata.uid);
  assert.equal(fromUrl.spec.tolerations?.some(({ effect }) => effect === 'NoExecute') ?? false, false);
});

const refused: [string, Partial<Pod['spec']>, RegExp][] = [
  ['service account', { serviceAccountName: 'x' }, /serviceAccountName/],
  ['the default service account', { serviceAccountName: 'default' }, /serviceAccountName/],
  ['secret to pull with', { imagePullSecrets: [{ name: 'login' }] }, /imagePullSecrets/],
  ['secret volume', { volumes: [{ name: 'v', secret: { secretName: 's' } }] }, /volumes\[0\]\.secret/],
  ['configMap volume', { volumes: [{ name: 'v', configMap: { name: 's' } }] }, /volumes\[0\]\.configMap/],
  [
    'projected secret',
    { volumes: [{ name: 'v', projected: { sources: [{ secret: { name: 's' } }] } }] },
    /projected/,
  ],
  ['claim', { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'c' } }] }, /persistentVolumeClaim/],
  [
    'env from a configMap',
    { containers: [{ name: 'a', envFrom: [{ configMapRef: { name: 'c' } }] }] },
    /envFrom/,
  ],
];

for (const [what, spec, message] of refused) {
  test(`a static pod may not refer to the API: ${what}`, () => {
    assert.throws(() => toStaticPod(podOf(spec), 'n', { source: 'file', path: '/p' }), message);
  });
}

test('what a newer kubelet would know, double keys and further documents are passed over, and told', () => {
  const told: string[] = [];
  const text = `${manifest('a', '  hostname: one\n  hostname: two\n  later: 1\n')}---\nkind: [\n`;
  const pod = decodePod(text, 'a.yaml', (problem) => told.push(problem));
  assert.equal(pod.spec.hostname, 'two');
  assert.deepEqual(told, [
    'a.yaml:8:3: this key is already set above in the same mapping',
    'a.yaml:10:1: another document; only the first counts',
    'a.yaml:9:3: spec.later: unknown field',
  ]);
});

test('a broken manifest names file, line and field', () => {
  assert.throws(
    () => decodePod('apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containrs: []\n', 'x.yaml'),
    /x\.yaml:5.*containrs/s,
  );
  assert.throws(() => decodePod(manifest('Not_A_Name'), 'x.yaml'), /x\.yaml:3/);
  assert.throws(
    () => decodePod('apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {}\n', 'x.yaml'),
    /Pod/,
  );
});

async function watching(
  path: string,
  work: (sets: string[][], next: (...wanted: string[]) => Promise<void>) => Promise<void>,
) {
  const stop = new AbortController();
  const sets: string[][] = [];
  let seen = 0;
  const running = runFileSource(
    {
      path,
      nodeName: 'n',
      decodePod,
      emit: (pods) =>
        sets.push(pods.map(({ metadata: { name, uid } }) => (uid === 'last' ? `${name} last` : name))),
      everyMs: 60_000,
      clock: systemClock,
      logger: silentLogger,
    },
    stop.signal,
  );
  const next = async (...wanted: string[]) => {
    const isThere = () => sets.length > seen && String(sets.at(-1)) === String(wanted);
    for (const end = Date.now() + 30_000; !isThere(); await wait(5))
      if (Date.now() > end) assert.deepEqual(sets.slice(seen), [wanted]);
    await wait(60);
    assert.deepEqual(sets.at(-1), wanted, 'it stays so');
    seen = sets.length;
  };
  try {
    await work(sets, next);
  } finally {
    stop.abort();
    await running;
  }
}

test('a manifest directory: added, replaced, removed, seen by inotify; hidden, nested and bad files left out', async () => {
  const directory = mkdtempSync('/tmp/skiff-man-');
  try {
    writeFileSync(join(directory, 'b.yaml'), manifest('b'));
    writeFileSync(join(directory, 'bad.yaml'), 'kind: [');
    writeFileSync(join(directory, '.hidden.yaml'), manifest('hidden'));
    mkdirSync(join(directory, 'nested'));
    writeFileSync(join(directory, 'nested', 'c.yaml'), manifest('nested'));
    await watching(directory, async (_, next) => {
      await next('b-n');
      writeFileSync(join(directory, '.tmp'), manifest('a'));
      renameSync(join(directory, '.tmp'), join(directory, 'a.yaml'));
      await next('a-n', 'b-n');
      writeFileSync(join(directory, 'b.yaml'), manifest('b2'));
      await next('a-n', 'b2-n');
      unlinkSync(join(directory, 'b.yaml'));
      await next('a-n');
      writeFileSync(join(directory, '.tmp'), manifest('a').replace('name: a', 'name: a, uid: last'));
      renameSync(join(directory, '.tmp'), join(directory, 'c.yaml'));
      // Of two pods of one name that of the last file.
      await next('a-n last');
      unlinkSync(join(directory, 'c.yaml'));
      await next('a-n');
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a FIFO, a socket and a link to a directory keep no manifest from being read', async () => {
  const directory = mkdtempSync('/tmp/skiff-man-');
  const socket = createNetServer();
  try {
    execFileSync('mkfifo', [join(directory, 'a-fifo')]);
    await new Promise<void>((resolve) => socket.listen(join(directory, 'b-socket'), resolve));
    symlinkSync('/tmp', join(directory, 'c-link'));
    writeFileSync(join(directory, 'd.yaml'), manifest('d'));
    await watching(directory, (_, next) => next('d-n'));
  } finally {
    socket.close();
    rmSync(directory, { recursive: true });
  }
});

test('a directory that cannot be read for a while ends no pod; one that is gone does', async () => {
  const directory = mkdtempSync('/tmp/skiff-man-');
  const [path, aside] = [join(directory, 'm'), join(directory, 'aside')];
  try {
    mkdirSync(path);
    writeFileSync(join(path, 'a.yaml'), manifest('a'));
    const told: string[] = [];
    const clock = fakeClock();
    const sets: string[][] = [];
    const logger = Object.assign(Object.create(silentLogger), {
      error: (fields: object) => told.push(JSON.stringify(fields)),
    });
    const stop = new AbortController();
    const running = runFileSource(
      {
        path,
        nodeName: 'n',
        decodePod,
        emit: (pods) => sets.push(pods.map(({ metadata: { name } }) => name)),
        everyMs: 20_000,
        clock,
        logger,
      },
      stop.signal,
    );
    const until = async (what: string, is: () => boolean) => {
      for (const end = Date.now() + 30_000; !is(); await wait(5)) {
        if (Date.now() > end) throw new Error(`${what} did not come`);
        await clock.advance(20_000);
      }
    };
    await until('the pod', () => sets.length > 0);
    renameSync(path, aside);
    symlinkSync(path, path); // It leads to itself: ELOOP, which no permission of root's helps.
    await until('a complaint', () => told.length > 0);
    assert.match(told[0] ?? '', /ELOOP.*the pods stay as they were/);
    assert.deepEqual(new Set(sets.map(String)), new Set(['a-n']));
    rmSync(path);
    await until('the empty set', () => sets.at(-1)?.length === 0);
    assert.equal(told.length, 1, 'it is told once');
    stop.abort();
    await running;
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a single manifest that does not exist yet, and one too large', async () => {
  const directory = mkdtempSync('/tmp/skiff-man-');
  const path = join(directory, 'pod.yaml');
  try {
    await watching(path, async (_, next) => {
      await next();
      writeFileSync(path, manifest('x'));
      await next('x-n');
      writeFileSync(path, `${manifest('x')}#${' '.repeat(11 * 1024 * 1024)}`);
      // The last good one counts until the next full read.
      await next('x-n');
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a large manifest is decoded elsewhere, once; those beside it do not wait', async () => {
  const directory = mkdtempSync('/tmp/skiff-man-');
  const path = join(directory, 'a-large.yaml');
  const containers = Array.from(
    { length: 6000 },
    (_, index) => `  - {name: c${index}, image: registry.example/i:1}\n`,
  );
  const large = `apiVersion: v1\nkind: Pod\nmetadata: {name: large}\nspec:\n  containers:\n${containers.join('')}`;
  try {
    writeFileSync(path, large);
    writeFileSync(join(directory, 'b.yaml'), manifest('b'));
    await watching(directory, async (sets, next) => {
      await next('b-n');
      const until = async (wanted: string[]) => {
        for (const end = Date.now() + 60_000; String(sets.at(-1)) !== String(wanted); await wait(10))
          if (Date.now() > end) throw new Error(`${sets.at(-1)} is not ${wanted}`);
      };
      await until(['large-n', 'b-n']);
      writeFileSync(path, large.replace('image: registry', 'imagine: registry'));
      writeFileSync(join(directory, 'c.yaml'), manifest('c'));
      await until(['large-n', 'b-n', 'c-n']);
      rmSync(path);
      await until(['b-n', 'c-n']);
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('decoding elsewhere: the same mistakes, and an end to what takes too long', async () => {
  const broken = manifest('x').replace('containers', 'container');
  const same = (error: unknown) =>
    isSkiffError(error, 'INVALID_ARGUMENT') && /^f\.yaml:\d+:\d+: spec\.container/.test(error.message);
  assert.throws(() => decodePod(broken, 'f.yaml'), same);
  await assert.rejects(decodeElsewhere(broken, 'f.yaml'), same);
  assert.equal((await decodeElsewhere(manifest('x'), 'f.yaml')).metadata.name, 'x');
  const endless = `a: [${'{b: c}, '.repeat(200_000)}]`;
  await assert.rejects(decodeElsewhere(endless, 'f.yaml', 5), (error) =>
    isSkiffError(error, 'RESOURCE_EXHAUSTED'),
  );
});

test('a URL: Pod or list, headers, an error keeps what was', async () => {
  let answer = { status: 200, body: manifest('u') };
  const headers: unknown[] = [];
  const server = createServer((request, response) => {
    headers.push(request.headers['x-test']);
    response.writeHead(answer.status).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = new AbortController();
  const sets: string[][] = [];
  const running = runHttpSource(
    {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      headers: { 'x-test': ['1'] },
      nodeName: 'n',
      decodePods,
      emit: (pods) => sets.push(pods.map(({ metadata }) => metadata.name)),
      everyMs: 20,
      clock: systemClock,
      logger: silentLogger,
    },
    stop.signal,
  );
  const until = async (count: number) => {
    for (const end = Date.now() + 30_000; sets.length < count && Date.now() < end; ) await wait(5);
  };
  await until(1);
  answer = { status: 500, body: '' };
  await wait(100);
  // As an API server sends it: the items do not say what they are.
  const items = ['v', 'w'].map((name) => ({ metadata: { name }, spec: podOf().spec }));
  answer = { status: 200, body: JSON.stringify({ apiVersion: 'v1', kind: 'PodList', metadata: {}, items }) };
  await until(2);
  answer = { status: 200, body: '' };
  await until(3);
  stop.abort();
  await running;
  server.close();
  server.closeAllConnections();
  assert.deepEqual(sets, [['u-n'], ['v-n', 'w-n'], []]);
  assert.equal(headers[0], '1');
});

test('a URL is asked every so often; one that does not answer within 10 s is given up until the next time', async () => {
  const clock = fakeClock();
  const asked: number[] = [];
  const told: string[] = [];
  const server = createServer((_, response) => {
    asked.push(clock.monotonic());
    // Its first answer begins, and never ends.
    if (asked.length === 1) response.writeHead(200).write('kind:');
    else response.end(manifest('u'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = new AbortController();
  const sets: string[][] = [];
  const logger = Object.assign(Object.create(silentLogger), {
    error: ({ error }: { error: string }) => told.push(`${error} at ${clock.monotonic()}`),
  });
  const running = runHttpSource(
    {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      headers: {},
      nodeName: 'n',
      decodePods,
      emit: (pods) => sets.push(pods.map(({ metadata }) => metadata.name)),
      everyMs: 20_000,
      clock,
      logger,
    },
    stop.signal,
  );
  const until = async (is: () => boolean) => {
    for (const end = Date.now() + 30_000; !is(); await wait(5)) assert.ok(Date.now() < end);
  };
  await until(() => asked.length === 1 && clock.sleepers === 1);
  await clock.advance(9999);
  await wait(50);
  assert.deepEqual(told, []);
  await clock.advance(1);
  await until(() => told.length === 1 && clock.sleepers === 1);
  assert.deepEqual(told, ['it did not answer within 10 s at 10000']);
  await clock.advance(20_000);
  await until(() => sets.length === 1);
  assert.deepEqual([asked, sets], [[0, 30_000], [['u-n']]]);
  stop.abort();
  await running;
  server.close();
  server.closeAllConnections();
});
