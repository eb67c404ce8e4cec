/** A store whose process is killed amid writes, again and again. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../testing/folder.ts';
import { openDatabase } from './database.ts';
import { openStore } from './store.ts';

const rounds = 200;
const script = join(import.meta.dirname, '../testing/write-store.ts');

/** Lets a process write into the file, and kills it a moment after it began. @returns its whole lines. */
async function killedWriter(file: string, prefix: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  const child = spawn(process.execPath, [script, file, prefix], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    // The time begins with the first that is acknowledged: a busy machine may take long to write anything.
    if (said === '') setTimeout(() => child.kill('SIGKILL'), Math.random() * 20);
    said += text;
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once('close', (...how) => resolve(how)),
  );
  assert.equal(signal, 'SIGKILL', `it ended by itself with ${code}`);
  return said.split('\n').slice(0, -1);
}

test(
  `nothing acknowledged is lost when its process is killed amid writes: ${rounds} times`,
  { timeout: 600_000 },
  () =>
    inFolder(async (folder) => {
      const file = join(folder, 'objects.db');
      const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, 'cache') };
      execFileSync(process.execPath, [script, file, ''], { env });
      let [revision, said] = [0, 0];
      for (let round = 0; round < rounds; round += 1) {
        const prefix = `r${round}`;
        const lines = await killedWriter(file, prefix, env);
        said += lines.length;
        const store = openStore(openDatabase(file));
        const stored = new Map(
          store
            .list('configmaps')
            .map(({ object }) => [object.metadata.name, object as { data?: { value: string } }]),
        );
        const last = new Map(lines.map((line) => [line.slice(1).split(' ')[0] ?? '', line]));
        for (const [name, line] of last) {
          const value = stored.get(name)?.data?.value;
          // A writer may have been one step further than it could say.
          if (line.startsWith('-')) assert.equal(value, undefined, `${name} is back, round ${round}`);
          else if (line.endsWith(' made'))
            assert.match(value ?? 'lost', /^(made|changed)$/, `${name}, round ${round}`);
          else
            assert.ok(value === 'changed' || mayBeGone(name, value), `${name} is ${value}, round ${round}`);
        }
        assert.ok(store.revision() >= revision + lines.length, 'revisions go on where they were');
        revision = store.revision();
        // What is settled is taken away, so that every round looks at its own only.
        await Promise.all([...stored].map(([name]) => remove(store, name)));
        revision = store.revision();
        store.close();
      }
      assert.ok(said >= rounds);
    }),
);

/** Every third object is taken away after its change. */
function mayBeGone(name: string, value: string | undefined): boolean {
  return value === undefined && Number(name.split('-')[2]) % 3 === 0;
}

function remove(store: ReturnType<typeof openStore>, name: string): Promise<unknown> {
  return store.edit('configmaps', { namespace: 'd', name }, (current) =>
    current === undefined ? 'keep' : { remove: current.object },
  );
}
