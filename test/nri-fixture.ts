/** Containers with NRI and plugins that are processes, for tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { readHostFacts } from '#services/cri-server/containers/index.ts';
import type { Nri, NriSettings } from '#services/cri-server/nri/index.ts';
import { containerHooks, openNri, tellStopped } from '#services/cri-server/nri-wiring.ts';
import { type Fixture, openFixture } from './containers-fixture.ts';
import type { PluginRules } from './nri-plugin.ts';

const program = join(import.meta.dirname, 'nri-plugin.ts');

/** What a plugin wrote. */
export interface Told {
  plugin: string;
  method: string;
  request: unknown;
}

/** Waits until `check` answers something. */
export async function until<T>(what: string, check: () => T | undefined | false, ms = 60_000): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const found = check();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`Waited ${ms} ms for ${what}`);
    await sleep(20);
  }
}

/** Plugins of one test, which all write to one file. */
export interface TestPlugins {
  report: string;
  socket: string;
  /** Starts one and waits until it takes part. */
  start(index: string, name: string, rules?: Partial<PluginRules>): Promise<ChildProcess>;
  /** Starts one and waits for nothing. */
  spawn(index: string, name: string, rules?: Partial<PluginRules>): ChildProcess;
  told(): Told[];
  /** `name Method`, without the first two. */
  events(): string[];
}

/** @param directory removed after the test. @param joined the labels of those that take part. */
export function testPlugins(
  t: TestContext,
  directory: string,
  socket: string,
  joined: () => string[],
): TestPlugins {
  const report = join(directory, 'report');
  const children: ChildProcess[] = [];
  t.after(async () => {
    for (const child of children) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    rmSync(directory, { recursive: true, force: true });
  });
  const told = (): Told[] =>
    existsSync(report)
      ? readFileSync(report, 'utf8')
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line))
      : [];
  const spawnOne: TestPlugins['spawn'] = (index, name, rules = {}) => {
    const text = JSON.stringify({ report, ...rules });
    const child = spawn(process.execPath, [program, socket, index, name, text], { stdio: 'inherit' });
    children.push(child);
    return child;
  };
  return {
    report,
    socket,
    spawn: spawnOne,
    async start(index, name, rules) {
      const child = spawnOne(index, name, rules);
      await until(`plugin ${name}`, () => joined().includes(`${index}-${name}`));
      return child;
    },
    told,
    events: () =>
      told()
        .filter(({ method }) => !['Configure', 'Synchronize', 'closed'].includes(method))
        .map(({ plugin, method }) => `${plugin} ${method}`),
  };
}

/** A containers part that asks NRI plugins. */
export interface NriFixture extends Fixture {
  nri: Nri;
  plugins: TestPlugins;
}

/** Opens it; everything ends with the test. */
export async function openNriFixture(
  t: TestContext,
  settings: Partial<NriSettings> = {},
): Promise<NriFixture> {
  const directory = mkdtempSync('/tmp/skiff-nri-');
  const paths = { ...pathsUnder(directory) };
  mkdirSync(paths.run, { recursive: true });
  const spawner = createSpawner();
  const core = () => fixture.containers.core;
  const nri: Nri = openNri({
    config: {
      paths,
      version: '0.0.0-test',
      log: silentLogger,
      cni: { configDir: '', binDirs: [], writeDefault: false },
      nri: settings,
    },
    spawner,
    host: readHostFacts(),
    sandboxes: () => core().sandboxes,
    core,
  });
  t.after(async () => {
    await nri[Symbol.asyncDispose]();
    spawner[Symbol.dispose]();
  });
  const fixture: Fixture = await openFixture(t, {
    deps: {
      hooks: containerHooks(core, nri),
      onEvent: (event, container) => {
        if (event === 'stopped') tellStopped(core(), nri, container);
      },
    },
  });
  await nri.start();
  const plugins = testPlugins(t, directory, join(paths.run, 'nri.sock'), () => nri.plugins());
  return Object.assign(Object.create(fixture) as Fixture, { nri, plugins });
}
