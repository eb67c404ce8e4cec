/** Container logs in the CRI's format, and ReopenContainerLog. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { logText, settledText } from '../context.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

const format = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP])(:\S*)? (.*)$/;

export const logs = area('logs', (rule) => {
  rule('each line has a time, a stream, a tag and the bytes', async (t) => {
    const pod = await t.pod();
    const id = await t.start(pod, {
      metadata: { name: 'log', attempt: 0 },
      logPath: 'log.log',
      command: ['sh', '-c', 'echo to stdout; echo to stderr >&2; echo; echo "  spaces  "'],
    });
    await t.exited(id);
    const lines = (await settledText(t.logFile(pod, 'log'))).split('\n').slice(0, -1);
    for (const line of lines) assert.match(line, format);
    const parsed = lines
      .map((line) => format.exec(line))
      .map((found) => [found?.[2], found?.[3], found?.[5]]);
    const only = (stream: string) => parsed.filter((each) => each[0] === stream).map((each) => each.slice(1));
    assert.deepEqual(only('stdout'), [
      ['F', 'to stdout'],
      ['F', ''],
      ['F', '  spaces  '],
    ]);
    assert.deepEqual(only('stderr'), [['F', 'to stderr']]);
  });

  rule('long lines are split into parts tagged P, the last tagged F', async (t) => {
    const pod = await t.pod();
    const command = ['sh', '-c', 'head -c 100000 /dev/zero | tr "\\0" x; echo; echo end'];
    const id = await t.start(pod, { logPath: 'log.log', command });
    await t.exited(id);
    const lines = (await settledText(t.logFile(pod, 'log'))).split('\n').filter(Boolean);
    const tags = lines.map((line) => format.exec(line)?.[3]);
    assert.ok(tags.length > 3, 'the line was not split');
    assert.ok(
      tags.slice(0, -2).every((each) => each === 'P'),
      tags.join(''),
    );
    assert.deepEqual(tags.slice(-2), ['F', 'F']);
    assert.equal(lines.map(logText).join(''), `${'x'.repeat(100_000)}\nend\n`);
  });

  rule('an unterminated last line is kept, tagged P', async (t) => {
    const pod = await t.pod();
    const id = await t.start(pod, { logPath: 'log.log', command: ['printf', 'no newline'] });
    await t.exited(id);
    assert.match(await settledText(t.logFile(pod, 'log')), / stdout P no newline\n$/);
  });

  rule('with a terminal everything is stdout', async (t) => {
    const pod = await t.pod();
    const id = await t.start(pod, {
      tty: true,
      logPath: 'log.log',
      command: ['sh', '-c', 'echo a; echo b >&2'],
    });
    await t.exited(id);
    const lines = (await settledText(t.logFile(pod, 'log'))).split('\n').filter(Boolean);
    assert.ok(
      lines.every((line) => line.includes(' stdout ')),
      lines.join('\n'),
    );
    assert.equal(lines.length, 2);
  });

  rule(
    'nothing of a burst is lost, and the order is kept',
    async (t) => {
      const pod = await t.pod();
      const id = await t.start(pod, { logPath: 'log.log', command: ['seq', '20000'] });
      await t.exited(id);
      const text = await t.eventually('20,000 lines', () => {
        const now = readFileSync(t.logFile(pod, 'log'), 'utf8');
        return now.split('\n').length > 20_000 ? now : undefined;
      });
      const expected = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join('');
      assert.equal(text.split('\n').filter(Boolean).map(logText).join(''), expected);
    },
    { timeoutMs: 20_000 },
  );

  rule('the log file is not for everybody', async (t) => {
    const pod = await t.pod();
    await t.start(pod, { logPath: 'log.log' });
    assert.equal(statSync(t.logFile(pod, 'log')).mode & 0o007, 0);
  });

  rule('directories in the log path are made', async (t) => {
    const pod = await t.pod();
    const id = await t.start(pod, { logPath: 'deep/er/0.log', command: ['echo', 'x'] });
    await t.exited(id);
    assert.match(await settledText(`${pod.config.logDirectory}/deep/er/0.log`), / stdout F x\n$/);
  });

  rule('ReopenContainerLog makes the file anew at once, and nothing is lost', async (t) => {
    const pod = await t.pod();
    const script =
      'i=0; while [ ! -e /stop ]; do i=$((i+1)); echo $i; [ $((i % 50)) = 0 ] && usleep 5000; done; echo end';
    const containerId = await t.start(pod, { logPath: 'log.log', command: ['sh', '-c', script] });
    const path = t.logFile(pod, 'log');
    const parts: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      await t.output(containerId, 'sleep 0.05');
      renameSync(path, `${path}.${round}`);
      await t.cri.runtime.reopenContainerLog({ containerId });
      assert.ok(existsSync(path), 'the file is not there after ReopenContainerLog');
      parts.push(`${path}.${round}`);
    }
    await t.output(containerId, 'touch /stop');
    await t.exited(containerId);
    await settledText(path);
    const lines = [...parts, path].flatMap((each) => readFileSync(each, 'utf8').split('\n').filter(Boolean));
    const numbers = lines.map((line) => logText(line).trim());
    assert.ok(numbers.length > 100);
    assert.deepEqual(numbers, [...numbers.slice(0, -1).map((_, index) => String(index + 1)), 'end']);
  });

  rule('ReopenContainerLog of a container that does not run fails and makes no file', async (t) => {
    const pod = await t.pod();
    const containerId = await t.start(pod, { logPath: 'log.log', command: ['true'] });
    await t.exited(containerId);
    renameSync(t.logFile(pod, 'log'), `${t.logFile(pod, 'log')}.1`);
    await fails(t.cri.runtime.reopenContainerLog({ containerId }));
    assert.ok(!existsSync(t.logFile(pod, 'log')));
  });
});
