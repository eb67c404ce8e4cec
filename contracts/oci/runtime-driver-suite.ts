/**
 * The suite that every runtime driver passes. A test file of the driver calls `runtimeDriverSuite` with a way to
 * open it; each test makes a bundle, uses the driver on it, and looks at the machine.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RuntimeSpec } from './runtime.ts';
import type { CreateRequest, MonitorPaths, RuntimeDriver } from './runtime-driver.ts';

/** A driver under test. */
export interface DriverUnderTest {
  driver: RuntimeDriver;
  paths: MonitorPaths;
  /** Makes a bundle whose root has a busybox, and writes its config.json. */
  bundle(id: string, args: string[], change?: (spec: RuntimeSpec) => void): CreateRequest;
  /** Writes a process document for exec and returns its path. */
  processFile(request: CreateRequest, args: string[]): string;
  /** Descriptor 1 of a command is this pipe's end; `read` returns what was written to it. */
  outputPipe(): { fd: number; read(): Promise<string> };
}

/** Registers the suite. @param open makes a driver on a fresh root, and cleans up after the test. */
export function runtimeDriverSuite(name: string, open: (t: TestContext) => Promise<DriverUnderTest>): void {
  test(`${name}: create waits, start runs, the exit code lies in its file, delete forgets`, async (t) => {
    const { driver, paths, bundle } = await open(t);
    const request = bundle('life', ['sh', '-c', 'echo out; exit 5']);
    const { pid } = await driver.create(request);
    assert.ok(existsSync(`/proc/${pid}`));
    assert.equal((await driver.state('life'))?.status, 'created');
    assert.equal((await driver.state('life'))?.pid, pid);
    assert.deepEqual(await driver.list(), ['life']);
    await driver.start('life', request.spec);
    assert.equal(await exitCode(paths, 'life'), '5');
    assert.equal((await driver.state('life'))?.status, 'stopped');
    assert.match(readFileSync(request.logPath ?? '', 'utf8'), / stdout F out\n$/);
    await driver.delete('life');
    assert.equal(await driver.state('life'), undefined);
    await driver.delete('life');
    await driver.delete('never');
  });

  test(`${name}: a create that fails says why and leaves nothing`, async (t) => {
    const { driver, bundle } = await open(t);
    await assert.rejects(driver.create(bundle('bad', ['/nothere'])), /nothere/);
    assert.deepEqual(await driver.list(), []);
    const wrong = bundle('wrong', ['true'], (spec) => {
      spec.mounts.push({ destination: '/x', type: 'bind', source: '/nothere/at/all', options: ['bind'] });
    });
    await assert.rejects(driver.create(wrong), /nothere/);
    assert.deepEqual(await driver.list(), []);
  });

  runningSuite(name, open);
}

function runningSuite(name: string, open: (t: TestContext) => Promise<DriverUnderTest>): void {
  test(`${name}: exec answers its own code, apart from failures to run it`, async (t) => {
    const { driver, bundle, processFile, outputPipe } = await open(t);
    const request = bundle('main', ['sleep', '100']);
    await driver.create(request);
    await driver.start('main', request.spec);
    const exec = async (args: string[]) => {
      const output = outputPipe();
      const pidPath = join(request.bundle, 'exec.pid');
      const fds = { 1: output.fd };
      const session = await driver.exec({
        id: 'main',
        processPath: processFile(request, args),
        pidPath,
        fds,
      });
      const [code, text] = await Promise.all([session.exited.then((exit) => exit.code), output.read()]);
      return { code, text };
    };
    assert.deepEqual(await exec(['sh', '-c', 'echo hi; exit 9']), { code: 9, text: 'hi\n' });
    assert.equal((await exec(['sh', '-c', 'kill -9 $$'])).code, 137);
    await assert.rejects(exec(['/nothere']), /nothere/);
    await driver.delete('main', { force: true });
  });

  test(`${name}: pause stops the clock and resume goes on; limits change`, async (t) => {
    const { driver, bundle } = await open(t);
    const request = bundle('p', ['sh', '-c', 'while :; do echo t; sleep 0.02; done']);
    await driver.create(request);
    await driver.start('p', request.spec);
    const length = () => readFileSync(request.logPath ?? '', 'utf8').length;
    await driver.pause('p');
    assert.equal((await driver.state('p'))?.status, 'paused');
    await sleep(100);
    const paused = length();
    await sleep(200);
    assert.equal(length(), paused);
    await driver.resume('p');
    for (let i = 0; i < 100 && length() === paused; i += 1) await sleep(20);
    assert.ok(length() > paused);
    await driver.update('p', { cpu: { shares: 333 } });
    await driver.delete('p', { force: true });
    assert.deepEqual(await driver.list(), []);
  });
}

async function exitCode(paths: MonitorPaths, id: string): Promise<string> {
  const path = join(paths.exits, id);
  for (let i = 0; i < 200; i += 1) {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    if (text !== '') return text;
    await sleep(20);
  }
  throw new Error(`no exit file ${path}`);
}
