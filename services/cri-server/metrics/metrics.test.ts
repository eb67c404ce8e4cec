/** The server's own metrics: what is counted, and how it is served. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRegistry } from '#foundation/base/metrics.ts';
import type { Container } from '../containers/table.ts';
import { createProgressBoard } from '../images/progress.ts';
import { collectMetrics } from './collect.ts';
import { serveMetrics } from './serve.ts';

function container(life: object): Container {
  return { record: { life } } as unknown as Container;
}

/** The samples of an exposition: name and labels to value. */
function samples(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' ') + 1)),
    ]),
  );
}

test('what there is, pulls, and ends for want of memory are counted, and served over HTTP', async () => {
  const registry = createRegistry();
  const board = createProgressBoard();
  using metrics = collectMetrics({
    registry,
    sandboxes: () => [{ ready: true }, { ready: false }, { ready: true }],
    containers: () => [container({ phase: 'running' }), container({ phase: 'restorable' })],
    images: () => [{ size: 10 }, { size: 5 }],
    pulls: board,
  });
  metrics.stopped(container({ phase: 'exited', reason: 'OOMKilled' }));
  metrics.stopped(container({ phase: 'exited', reason: 'Error' }));
  const pull = board.begin('a:1');
  pull.layers([
    { digest: 'sha256:1', size: 70 },
    { digest: 'sha256:2', size: 30 },
  ]);
  pull.layer('sha256:1', { state: 'done', done: 70 });
  pull.layer('sha256:2', { state: 'exists', done: 30 });
  pull.end({ imageId: 'x' });
  board.begin('b:1').end({ error: 'gone' });
  board.begin('c:1');
  await using server = await serveMetrics(registry, { address: '127.0.0.1', port: 0 });
  const answer = await fetch(server.url);
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=/);
  const found = samples(await answer.text());
  const expected = {
    'skiff_cri_sandboxes{state="ready"}': 2,
    'skiff_cri_sandboxes{state="notready"}': 1,
    'skiff_cri_containers{state="running"}': 1,
    'skiff_cri_containers{state="created"}': 1,
    'skiff_cri_containers{state="exited"}': 0,
    skiff_cri_images: 2,
    skiff_cri_image_bytes: 15,
    skiff_cri_image_pull_bytes_total: 70,
    skiff_cri_image_pull_seconds_count: 1,
    skiff_cri_image_pull_failures_total: 1,
    skiff_cri_image_pulls_in_progress: 1,
    skiff_cri_containers_oom_total: 1,
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(found.get(name), value, name);
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_open_fds'])
    assert.ok((found.get(name) ?? 0) > 0, name);
});

test('other paths and methods are refused, and a taken port is told', async () => {
  const registry = createRegistry();
  await using server = await serveMetrics(registry, { address: '127.0.0.1', port: 0 });
  assert.equal((await fetch(new URL('/', server.url))).status, 404);
  const posted = await fetch(server.url, { method: 'POST' });
  assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD']);
  assert.equal(await (await fetch(server.url, { method: 'HEAD' })).text(), '');
  const port = Number(new URL(server.url).port);
  await assert.rejects(
    serveMetrics(registry, { address: '127.0.0.1', port }),
    /EADDRINUSE.*cri\.metricsPort/,
  );
});
