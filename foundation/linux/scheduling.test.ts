import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { setIoPriority, setScheduler } from './scheduling.ts';

function sleeper(t: TestContext): number {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  return child.pid ?? 0;
}

const ask = (program: string, pid: number) =>
  execFileSync(program, ['-p', `${pid}`], { encoding: 'utf8' }).trim();

test('an I/O priority is what ionice(1) then says', (t) => {
  const pid = sleeper(t);
  setIoPriority(pid, { class: 'IOPRIO_CLASS_BE', priority: 6 });
  assert.equal(ask('ionice', pid), 'best-effort: prio 6');
  setIoPriority(pid, { class: 'IOPRIO_CLASS_IDLE', priority: 0 });
  assert.equal(ask('ionice', pid), 'idle');
  assert.throws(() => setIoPriority(pid, { class: 'IOPRIO_CLASS_BE', priority: 8 }), {
    code: 'INVALID_ARGUMENT',
  });
});

test('a scheduler is what chrt(1) then says', (t) => {
  const pid = sleeper(t);
  setScheduler(pid, { policy: 'SCHED_BATCH', nice: 7, flags: ['SCHED_FLAG_RESET_ON_FORK'] });
  assert.match(ask('chrt', pid), /policy: SCHED_BATCH\|SCHED_RESET_ON_FORK/);
  assert.equal(execFileSync('ps', ['-o', 'ni=', '-p', `${pid}`], { encoding: 'utf8' }).trim(), '7');
  setScheduler(pid, { policy: 'SCHED_IDLE' });
  assert.match(ask('chrt', pid), /policy: SCHED_IDLE/);
  assert.throws(() => setScheduler(pid, { policy: 'SCHED_FIFO', priority: 100 }), { errno: 'EINVAL' });
  assert.throws(() => setScheduler(2 ** 22, { policy: 'SCHED_OTHER' }), { errno: 'ESRCH' });
});

test('a thread that is served first is alone in that: neither its threads nor its children are', () => {
  const script = `
    import { execFileSync } from 'node:child_process';
    import { readFileSync } from 'node:fs';
    import { Worker } from 'node:worker_threads';
    import { serveThisThreadFirst } from '${new URL('./scheduling.ts', import.meta.url).href}';
    serveThisThreadFirst();
    const nice = (stat) => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
    const own = nice(readFileSync('/proc/thread-self/stat', 'latin1'));
    const child = nice(execFileSync('cat', ['/proc/self/stat'], { encoding: 'latin1' }));
    const code = "import { readFileSync } from 'node:fs'; import { parentPort } from 'node:worker_threads';" +
      "parentPort.postMessage(readFileSync('/proc/thread-self/stat', 'latin1'))";
    const worker = new Worker(code, { eval: true });
    worker.once('message', (stat) => console.log(JSON.stringify({ own, child, thread: nice(stat) })));
  `;
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script];
  const told = execFileSync(process.execPath, args, { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(told), { own: -5, child: 0, thread: 0 });
});
