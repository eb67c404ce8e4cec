import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Attachment, addChain, checkChain, collectChain, deleteChain, statusChain } from './chain.ts';
import { parseConfig, readConfigDirectory } from './config.ts';
import { createExecutingRunner } from './execute.ts';
import type { CniResult, PluginCall, PluginRunner } from './types.ts';

const signal = new AbortController().signal;

function temporary(t: TestContext): string {
  const directory = mkdtempSync('/tmp/skiff-cnit-');
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** Remembers each call; ADD answers with one more address than the plugin before. */
function recorder(failing: string[] = []): PluginRunner & { calls: PluginCall[] } {
  const calls: PluginCall[] = [];
  return {
    calls,
    async run(call) {
      calls.push(call);
      if (failing.includes(call.config.type)) throw new Error(`${call.config.type} failed`);
      if (call.verb !== 'ADD') return undefined;
      const before = call.config.prevResult?.ips ?? [];
      const ip = { address: `10.0.0.${calls.length}/24` };
      return { cniVersion: call.config.cniVersion, ips: [...before, ip] };
    },
  };
}

function place(version: string, extra: object = {}): Attachment {
  const plugins = [
    { type: 'a', capabilities: { portMappings: true, dns: false } },
    { type: 'b', x: 1 },
    { type: 'c' },
  ];
  const list = parseConfig(JSON.stringify({ cniVersion: version, name: 'net', plugins, ...extra }), 'test');
  const capabilities = { portMappings: [1], dns: {}, bandwidth: {} };
  return { list, containerId: 'id', ifName: 'eth0', args: 'A=B', capabilities };
}

test('ADD chains results forwards, DEL goes backwards with the whole result, past failing plugins', async () => {
  const runner = recorder();
  const result = await addChain(runner, place('1.0.0'), '/ns', signal);
  assert.deepEqual(
    result.ips?.map(({ address }) => address),
    ['10.0.0.1/24', '10.0.0.2/24', '10.0.0.3/24'],
  );
  assert.deepEqual(runner.calls[0]?.config, {
    type: 'a',
    name: 'net',
    cniVersion: '1.0.0',
    runtimeConfig: { portMappings: [1] },
  });
  assert.deepEqual(runner.calls[2]?.config.prevResult?.ips?.length, 2);
  const failing = recorder(['c', 'b']);
  await assert.rejects(
    deleteChain(failing, place('1.0.0'), '', result, signal),
    /^SkiffError: c failed \(and 1 more\)/,
  );
  assert.deepEqual(
    failing.calls.map(({ config, netns }) => [config.type, netns, config.prevResult?.ips?.length]),
    [
      ['c', '', 3],
      ['b', '', 3],
      ['a', '', 3],
    ],
  );
});

test('what a version of the spec has not is not asked for', async () => {
  const result: CniResult = { cniVersion: '0.3.1', ips: [{ version: '4', address: '10.0.0.1/24' }] };
  const old = recorder();
  await deleteChain(old, place('0.3.1'), '/ns', result, signal);
  assert.ok(old.calls.every(({ config }) => config.prevResult === undefined));
  await checkChain(old, place('0.3.1'), '/ns', result, signal);
  await collectChain(old, place('1.0.0').list, [], signal);
  await statusChain(old, place('1.0.0').list, signal);
  await checkChain(old, place('1.0.0', { disableCheck: true }), '/ns', result, signal);
  assert.equal(old.calls.length, 3);
  const middle = recorder();
  await checkChain(middle, place('0.4.0'), '/ns', { ...result, ips: [{ address: 'fd00::1/64' }] }, signal);
  assert.deepEqual(middle.calls[0]?.config.prevResult?.ips, [{ version: '6', address: 'fd00::1/64' }]);
  const newest = recorder();
  await collectChain(newest, place('1.1.0').list, [{ containerId: 'x', ifName: 'eth0' }], signal);
  assert.deepEqual(newest.calls[0]?.config['cni.dev/valid-attachments'], [
    { containerID: 'x', ifname: 'eth0' },
  ]);
});

test('the first valid file of a directory counts, and the others say what is wrong with them', (t) => {
  const directory = temporary(t);
  assert.match(readConfigDirectory(`${directory}/none`).problems[0] ?? '', /does not exist/);
  assert.match(readConfigDirectory(directory).problems[0] ?? '', /put a .conflist file there/);
  writeFileSync(join(directory, '05-broken.conflist'), '{');
  writeFileSync(join(directory, '06-empty.conflist'), '{"cniVersion":"1.0.0","name":"x","plugins":[]}');
  writeFileSync(join(directory, '07-name.conf'), '{"cniVersion":"1.0.0","name":"../x","type":"bridge"}');
  writeFileSync(join(directory, '08-future.conf'), '{"cniVersion":"9.0.0","name":"x","type":"bridge"}');
  writeFileSync(join(directory, '10-good.conf'), '{"cniVersion":"0.4.0","name":"good","type":"bridge"}');
  writeFileSync(join(directory, '09-ignored.txt'), '{}');
  const { list, file, problems } = readConfigDirectory(directory);
  assert.equal(list?.name, 'good');
  assert.deepEqual(
    list?.plugins.map(({ type }) => type),
    ['bridge'],
  );
  assert.equal(file, join(directory, '10-good.conf'));
  assert.deepEqual(
    problems.map((problem) => /CNI configuration \S+\/(\d\d)/.exec(problem)?.[1]),
    ['05', '06', '07', '08'],
  );
  assert.match(problems[3] ?? '', /"9.0.0" is not supported; use one of/);
});

test('the newest version that both sides speak is chosen', () => {
  const text = (versions: object) => JSON.stringify({ ...versions, name: 'n', plugins: [{ type: 'x' }] });
  assert.equal(
    parseConfig(text({ cniVersion: '0.4.0', cniVersions: ['1.0.0', '1.1.0', '2.0.0'] }), 'f').cniVersion,
    '1.1.0',
  );
  assert.equal(parseConfig(text({}), 'f').cniVersion, '0.3.1');
});

test('a plugin that fails, lies, hangs or is missing ends in an error that names it', async (t) => {
  const directory = temporary(t);
  const script = (name: string, body: string) =>
    writeFileSync(join(directory, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  script('good', 'env > "$0.env"; cat > "$0.in"; echo \'{"cniVersion":"1.0.0"}\'');
  script('fails', 'echo \'{"code":7,"msg":"no luck","details":"today"}\'; exit 1');
  script('busy', 'echo \'{"code":11,"msg":"later"}\'; exit 1');
  script('lies', 'echo this is not JSON');
  script('crashes', 'echo panic >&2; kill -9 $$');
  script('hangs', 'exec sleep 30');
  script('deaf', 'exec 0<&-; echo "[]"');
  const runner = createExecutingRunner({ binDirs: ['/nowhere', directory], timeoutMs: 2000 });
  const run = (type: string) =>
    runner.run(
      {
        verb: 'ADD',
        containerId: 'id',
        netns: '/ns',
        ifName: 'eth0',
        args: 'K=V',
        config: { type, name: 'net', cniVersion: '1.0.0' },
      },
      signal,
    );
  assert.deepEqual(await run('good'), { cniVersion: '1.0.0' });
  assert.match(readFileSync(join(directory, 'good.env'), 'utf8'), /CNI_COMMAND=ADD\n(.*\n)*/);
  assert.deepEqual(JSON.parse(readFileSync(join(directory, 'good.in'), 'utf8')), {
    type: 'good',
    name: 'net',
    cniVersion: '1.0.0',
  });
  await assert.rejects(run('fails'), {
    code: 'INTERNAL',
    message: 'CNI plugin "fails" failed ADD for network "net": no luck (today)',
  });
  await assert.rejects(run('busy'), { code: 'UNAVAILABLE', message: /later/ });
  await assert.rejects(run('lies'), /printed no valid result: "this is not JSON"/);
  await assert.rejects(run('crashes'), /exited with 137: panic/);
  await assert.rejects(run('deaf'), /printed no valid result/);
  await assert.rejects(run('missing'), {
    code: 'FAILED_PRECONDITION',
    message: /"missing" is not in \/nowhere, /,
  });
  await assert.rejects(run('../good'), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(run('hangs'), { code: 'DEADLINE_EXCEEDED' });
});
