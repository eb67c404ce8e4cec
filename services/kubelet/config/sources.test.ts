/** Where manifests come from: files, and a URL (kubelet-facts 1). */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { systemClock } from '#foundation/base/time.ts';
import { podOf } from '../testing/pods.ts';
import { decodePod, decodePods } from './decode.ts';
import { runFileSource } from './file-source.ts';
import { runHttpSource } from './http-source.ts';

const manifest = (name: string, extra = '') =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nspec:\n  containers:\n  - {name: a, image: img}\n${extra}`;

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
